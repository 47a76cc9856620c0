"""Which kernels a convolution or one of its gradients gets."""

from graphkeras.lowering.cpu.conv import is_depthwise, lower_convolution, lower_depthwise
from graphkeras.lowering.cpu.conv_kernel_gradient import lower_depthwise_kernel_gradient, lower_kernel_gradient
from graphkeras.lowering.cpu.kernel import LoweredKernel
from graphkeras.schedule.groups import Group


def _lower_conv(group: Group, name: str) -> list[LoweredKernel]:
    return (lower_depthwise if is_depthwise(group.space.tiled) else lower_convolution)(group, name)


def _lower_kernel_gradient(group: Group, name: str) -> list[LoweredKernel]:
    return (lower_depthwise_kernel_gradient if is_depthwise(group.space.tiled) else lower_kernel_gradient)(group, name)


CONVOLUTIONS = {"conv": _lower_conv, "conv_input_gradient": _lower_conv, "conv_kernel_gradient": _lower_kernel_gradient}
