"""Views keep their shape and differ; text becomes rows of TF-IDF."""

from __future__ import annotations

import torch

from nanoemox.baselines import networks
from nanoemox.baselines.classical import word_tfidf


def test_views_of_audio_and_frames_keep_their_shape_and_differ() -> None:
    random = torch.Generator().manual_seed(0)
    energy_db = torch.randn(networks.BANDS, 90) * 10
    for steps in (64, 90, 120):
        assert networks.audio_view(energy_db, steps, None).shape == (networks.BANDS, steps)
        views = [networks.audio_view(energy_db, steps, random) for _ in range(2)]
        assert views[0].shape == (networks.BANDS, steps) and not torch.equal(*views)
        assert all(view.isfinite().all() for view in views)
    frames = torch.rand(3, 72, 72)
    assert torch.equal(networks.frame_views(frames, None), frames[:, 4:68, 4:68])
    assert networks.frame_views(frames, random).shape == (3, 64, 64)


def test_rare_words_count_more_and_unseen_ones_nothing() -> None:
    text = networks.TextRows([("we won we won", ""), ("we lost", ""), ("never", "")])
    words, letters = text.rows([("we never", ""), ("what", "")])
    vocabulary = word_tfidf().fit(["we won we won", "we lost", "never"]).vocabulary_
    row = words.toarray()[0]
    assert 0 < row[vocabulary["we"]] < row[vocabulary["never"]] and (row > 0).sum() == 2
    assert words.toarray()[1].sum() == 0 and letters.shape == (2, text.sizes[1])
    assert len(text.sizes) == 2  # no line has a turn before it


def test_earlier_turns_are_read_where_two_lines_share_a_word_of_them() -> None:
    assert len(networks.TextRows([("yes", "are you sad"), ("yes", "you won")]).sizes) == 3
    assert len(networks.TextRows([("yes", "are we sad"), ("yes", "you won")]).sizes) == 2


def test_a_view_leaves_n_grams_out_and_keeps_the_mean() -> None:
    rows = networks.TextRows([("a b c d", ""), ("a b c d", "")]).rows([("a b c d", ""), ("z", "")])[0]
    columns, begins, weights = networks.bag_views(rows, 0.5, None)
    assert columns.tolist() == rows.indices.tolist() and begins.tolist() == [0, len(weights)]
    random = torch.Generator().manual_seed(0)
    views = torch.stack([networks.bag_views(rows, 0.5, random)[2] for _ in range(400)])
    assert float(views[:, 0].min()) == 0 and torch.allclose(views.mean(dim=0), weights, atol=0.15)


def test_the_text_network_adds_up_the_weights_of_a_row() -> None:
    torch.manual_seed(0)
    text = networks.TextRows([("we won", "oh"), ("we lost", "oh"), ("we won", "")])
    network = networks.TextNet(2, text.sizes).eval()
    for table in network.votes:
        torch.nn.init.normal_(table.weight)  # they begin at 0
    rows = text.rows([("we won", "oh"), ("zz", ""), ("we lost", "")])
    votes = sum(
        torch.from_numpy(matrix.toarray()) @ table.weight
        for matrix, table in zip(rows, network.votes, strict=True)
    )
    expected = votes + network.head.bias  # the hidden layer's weights begin at 0
    answers = network(*text.views(rows, None))
    assert answers.shape == (3, 2) and torch.allclose(answers, expected, atol=1e-6)
    assert torch.equal(answers[1], network.head.bias)  # no word of it is known
