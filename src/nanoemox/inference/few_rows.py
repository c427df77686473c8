"""Linear layers that read their weights at the speed of the memory when a step has few rows, in bfloat16 on a CPU.

A step of decoding multiplies a few rows with every weight of the language model, so its time is that of reading them.
oneDNN's `x @ W.T` in bfloat16 first brings a plain weight into another layout, each time anew; `(W @ x.T).T` takes
the weight as it lies in memory. Of a single row there are two kernels, of which the one for two rows is faster.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOST_ROWS = 64  # with more rows the multiplication itself counts
LEAST_WEIGHTS = 2**19  # smaller layers stay in the caches of the processor, where other things count


class FewRowsLinear(nn.Linear):
    """A linear layer as it was, which multiplies the other way round where that is faster."""

    def forward(self, input: Tensor) -> Tensor:
        rows = input.numel() // self.in_features
        plain = torch.is_grad_enabled() or self.weight.device.type != "cpu"
        if plain or self.weight.dtype != torch.bfloat16 or not 0 < rows <= MOST_ROWS:
            return super().forward(input)
        columns = input.reshape(rows, self.in_features).t()  # [D, R]
        if rows == 1:
            columns = columns.expand(-1, 2)
        output = (self.weight @ columns).t()[:rows]  # [R, D of the output]
        if self.bias is not None:
            output = output + self.bias
        return output.reshape(*input.shape[:-1], self.out_features)


def for_few_rows(model: nn.Module) -> None:
    """Let the large linear layers of a language model take few rows fast; their weights stay where they are.

    Args:
        model: The language model. Nothing happens where the processor has no arithmetic in bfloat16.
    """
    if not torch.cpu._is_avx512_bf16_supported():
        return
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.numel() >= LEAST_WEIGHTS:
            module.__class__ = FewRowsLinear
