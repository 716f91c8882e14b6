import torch
from torch import Generator, nn

from mpsearch.training import distillation
from mpsearch.training.distillation import TeacherMemory, distillation_loss


def logits(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def test_the_loss_is_zero_where_student_and_teacher_agree():
    assert abs(float(distillation_loss(logits(5, 7), logits(5, 7), temperature=3.0))) < 1e-6


def test_the_loss_is_the_scaled_divergence_of_the_softened_distributions():
    student, teacher = logits(5, 7, seed=1), logits(5, 7, seed=2)
    p, q = (teacher / 2).softmax(1).double(), (student / 2).softmax(1).double()
    expected = 4 * (p * (p / q).log()).sum(1).mean()
    assert torch.isclose(distillation_loss(student, teacher, temperature=2.0).double(), expected)


def test_sequences_are_averaged_over_positions():
    student, teacher = logits(3, 4, 7, seed=1), logits(3, 4, 7, seed=2)
    flat = distillation_loss(student.view(12, 7), teacher.view(12, 7), temperature=1.0)
    assert torch.isclose(distillation_loss(student, teacher, temperature=1.0), flat)


class Counting(nn.Module):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return x * 2


def test_the_teacher_runs_once_per_batch():
    memory, teacher = TeacherMemory(), Counting()
    for _ in range(3):
        assert torch.equal(memory.output((0, "seed"), teacher, logits(4, 2)), logits(4, 2) * 2)
    assert teacher.calls == 1


def test_outputs_beyond_the_memory_limit_are_computed_again(monkeypatch):
    monkeypatch.setattr(distillation, "MEMORY_BYTES", 40)
    memory, teacher = TeacherMemory(), Counting()
    for _ in range(2):
        memory.output((0,), teacher, logits(4, 2))
        memory.output((1,), teacher, logits(4, 2))
    assert teacher.calls == 3
    assert memory.size_bytes == 32
