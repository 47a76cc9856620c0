import numpy as np
import pytest

from graphkeras import ops
from graphkeras.ir.errors import ArgumentError, DTypeError, GradientError, ShapeError
from graphkeras.testing.gradients import check_gradients
from tests.ops.families import check_function

RNG = np.random.default_rng(2)
REAL, IMAG = RNG.normal(size=(2, 3, 4, 6)).astype("float32")
SIGNAL = RNG.normal(size=(3, 40)).astype("float32")


@pytest.mark.parametrize(
    ("ours", "numpys"), [(ops.fft, np.fft.fft), (ops.fft2, np.fft.fft2), (ops.ifft2, np.fft.ifft2)], ids=["fft", "fft2", "ifft2"]
)
def test_complex_transforms(ours, numpys):
    got = check_function(lambda a, b: ours((a, b)), REAL, IMAG, batch=True)
    want = numpys(REAL + 1j * IMAG)
    np.testing.assert_allclose(got[0] + 1j * got[1], want, atol=1e-5)
    check_gradients(lambda a, b: ours((a, b)), [REAL, IMAG])


@pytest.mark.parametrize("length", [None, 6, 5, 9, 1])
def test_real_transforms(length):
    got = check_function(lambda x: ops.rfft(x, length), REAL, batch=True)
    np.testing.assert_allclose(got[0] + 1j * got[1], np.fft.rfft(REAL, length), atol=1e-5)
    back = check_function(lambda a, b: ops.irfft((a, b), length), REAL, IMAG, batch=True)[0]
    np.testing.assert_allclose(back, np.fft.irfft(REAL + 1j * IMAG, length), atol=1e-5)
    check_gradients(lambda x: ops.rfft(x, length), [REAL])
    check_gradients(lambda a, b: ops.irfft((a, b), length), [REAL, IMAG])


def test_windows():
    got = check_function(lambda x: ops.extract_sequences(x, 8, 3), SIGNAL, batch=True)[0]
    assert np.array_equal(got, np.lib.stride_tricks.sliding_window_view(SIGNAL, 8, -1)[:, ::3])
    assert ops.extract_sequences([1.0, 2.0], 3, 1).shape == (0, 3)


@pytest.mark.parametrize("window", ["hann", "hamming", None, np.linspace(0.5, 1, 12)])
@pytest.mark.parametrize("center", [True, False])
def test_short_time_transforms_come_back(window, center):
    def there_and_back(x):
        return ops.istft(ops.stft(x, 12, 4, 16, window=window, center=center), 12, 4, 16, window=window, center=center)

    # Without a window istft adds up what overlaps, as Keras does; a frame of 16 leaves 4 cells that no window reaches.
    got = check_function(there_and_back, SIGNAL)[0]
    assert got.shape == (3, 40)
    if window is not None and center:
        np.testing.assert_allclose(got[:, 4:-8], SIGNAL[:, 4:-8], atol=1e-5)
    check_gradients(there_and_back, [SIGNAL[:1] if window is None or center else np.zeros((1, 40))], order=1)


def test_complex_tensors():
    z = (REAL + 1j * IMAG).astype("complex64")
    assert np.array_equal(ops.real(z), REAL) and np.array_equal(ops.imag(z), IMAG)
    assert np.array_equal(ops.conj(z), z.conj()) and ops.real(REAL).dtype == "float32"
    np.testing.assert_allclose(ops.angle(z), np.angle(z), rtol=1e-6)
    assert ops.angle([-2, 3]).tolist() == [np.float32(np.pi), 0.0] and ops.imag([1, 2]).tolist() == [0, 0]
    np.testing.assert_allclose(ops.polar(ops.abs(REAL), IMAG), np.abs(REAL) * np.exp(1j * IMAG), atol=1e-6)
    assert np.array_equal(ops.view_as_complex(ops.view_as_real(z)), z)


def test_complex_numbers_have_no_gradient():
    with pytest.raises(GradientError, match="complex"):
        check_gradients(lambda x: ops.imag(ops.view_as_complex(x)), [np.ones((3, 2))])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: ops.fft(SIGNAL), ArgumentError),
        (lambda: ops.fft((SIGNAL, SIGNAL[:2])), ShapeError),
        (lambda: ops.fft(([1, 2], [1, 2])), ArgumentError),
        (lambda: ops.fft2((SIGNAL[0], SIGNAL[0])), ShapeError),
        (lambda: ops.rfft(1.0), ShapeError),
        (lambda: ops.istft((SIGNAL[0], SIGNAL[0]), 8, 4, 8), ShapeError),
        (lambda: ops.extract_sequences(1.0, 2, 1), ShapeError),
        (lambda: ops.stft(SIGNAL, 8, 0, 8), ArgumentError),
        (lambda: ops.stft(SIGNAL, 8, 1.5, 8), ArgumentError),
        (lambda: ops.istft((SIGNAL, SIGNAL), 8, -5, 8), ArgumentError),
        (lambda: ops.rfft(SIGNAL, 0), ArgumentError),
        (lambda: ops.stft(SIGNAL.astype("float16"), 8, 4, 8), DTypeError),
        (lambda: ops.stft(SIGNAL, 8, 4, 6), ArgumentError),
        (lambda: ops.stft(SIGNAL, 8, 4, 8, window="kaiser"), ArgumentError),
        (lambda: ops.stft(SIGNAL, 8, 4, 8, window=np.ones(5)), ArgumentError),
        (lambda: ops.view_as_complex(SIGNAL), ShapeError),
    ],
)
def test_errors_have_four_parts(call, error):
    with pytest.raises(error) as caught:
        call()
    assert "got:" in str(caught.value)
