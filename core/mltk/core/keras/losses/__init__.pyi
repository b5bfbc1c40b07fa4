from keras.losses import MeanAbsoluteError as MeanAbsoluteError
from keras.losses import MeanSquaredError as MeanSquaredError

from mltk.keras.contrastive_loss import ContrastiveLoss as ContrastiveLoss
