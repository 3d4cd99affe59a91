"""Images with labels: class folders, tables and npz files, MedMNIST."""
