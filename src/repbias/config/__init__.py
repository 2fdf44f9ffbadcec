"""What a study's YAML file may say."""
