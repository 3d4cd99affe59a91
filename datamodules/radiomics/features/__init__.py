"""The families of radiomics features."""
