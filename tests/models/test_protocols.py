import pytest
from torch import nn

from medzoo.models import protocols


@pytest.mark.parametrize(
    ("wanted", "needs"),
    [
        (protocols.ImageAutoencoder, "encode, sample, decode, latent_channels"),
        (protocols.VectorAutoencoder, "encode, sample, decode, latent_features, sizes"),
        (protocols.RadiomicsNetwork, "encode, decode, condition_features, latent_features"),
        (protocols.SalientNetwork, "encode, decode, common_features, salient_features"),
    ],
)
def test_a_network_of_another_kind_is_told_what_it_lacks(wanted, needs):
    told = str(protocols.wrong_network(nn.Identity(), wanted, "Known"))
    assert told == f"net=Identity is no network such as Known: it needs {needs}"
