"""What is measured in images, masks, volumes and codes."""
