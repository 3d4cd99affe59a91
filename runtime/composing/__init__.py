"""From a command line to one config: Hydra's composition with the rules of this zoo, and its mistakes in one line."""
