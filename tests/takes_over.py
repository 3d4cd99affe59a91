"""A stage that goes on with what the first one learnt."""

import lightning as L

from medzoo.lightning_modules import ClassificationModule


class TakesOver(ClassificationModule):
    """Takes the network's weights of the stage `first`, and says so."""

    def receive(self, stages: dict[str, L.LightningModule]) -> None:
        """Copy the weights."""
        print(f"received {sorted(stages)}", flush=True)
        self.net.load_state_dict(stages["first"].net.state_dict())
