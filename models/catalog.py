"""The model catalogue: names in `--model` to builders. A new model is its file and one line here."""

from models import bert
from models import byol
from models import conformer
from models import lstm
from models import resnet
from models import simclr
from models import simsiam
from models import transformer
from models import vit

LANGUAGE_MODELS = {
  'conformer': conformer.conformer,
  'lstm': lstm.lstm,
  'transformer': transformer.transformer,
}

ENCODERS = {
  'albert': bert.albert,
  'bert': bert.bert,
  'distilbert': bert.distilbert,
}

VISION_MODELS = {
  'resnet': resnet.resnet,
  'vit': vit.vit,
}

OBJECTIVES = {
  'byol': byol.byol,
  'simclr': simclr.simclr,
  'simsiam': simsiam.simsiam,
}
