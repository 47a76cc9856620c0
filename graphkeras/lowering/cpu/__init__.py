"""Lowering for the CPU: SIMD language, vector math, matrix multiplication."""
