"""Small models: more threads than one only get in each other's way. One font, on every machine."""

import os
from pathlib import Path

import torch

torch.set_num_threads(1)
os.environ["FONTCONFIG_FILE"] = str(Path(__file__).with_name("fonts.conf"))  # for the browsers
