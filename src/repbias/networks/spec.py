"""What ``training:`` and ``networks:`` may say in the configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from repbias.base.imports import check_import_path, files_of_import_paths
from repbias.base.spec import InputPath, Name, Spec, nearest, refuse_duplicates
from repbias.networks.heads import TwoClasses
from repbias.networks.manipulations import Manipulations


class Training(Manipulations):
    """How the networks of a condition are trained."""

    targets: list[str] | None = None
    """The features that training rewards; all when left out."""
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    """The optimiser."""
    initial_weights: Literal["shared", "own"] = "shared"
    """Whether networks of one seed begin with the same weights in all conditions of one
    architecture, so that conditions are paired, or each condition has initial weights of its
    own."""
    learning_rate: float = Field(3e-4, gt=0)
    """Step size."""
    momentum: float = Field(0.0, ge=0, lt=1)
    """Momentum of SGD."""
    weight_decay: float = Field(0.0, ge=0)
    """L2 penalty (decoupled with adamw)."""
    warmup_steps: int = Field(0, ge=0)
    """Steps over which the learning rate rises linearly to `learning_rate`."""
    cool_down: Literal["none", "cosine"] | None = None
    """`cosine` lets the learning rate fall to 0, along half a cosine, over the `extra_steps` from
    when all targets are mastered, or over the last `extra_steps` before `max_steps` where they are
    not mastered by then; where `extra_steps` is null, over all steps. `none` keeps it. Left out,
    `cosine` for images, whose accuracy at the end varies much at a constant rate, and `none` for
    other stimuli."""
    batch_size: Annotated[int, Field(ge=1)] | Literal["full"] = 128
    """Stimuli per step; `full` is all of them (gradient descent)."""
    max_steps: int = Field(4000, ge=1)
    """Training ends here at the latest."""
    mastery: float = Field(0.99, gt=0.5, le=1)
    """Validation accuracy at which a feature counts as mastered."""
    extra_steps: Annotated[int, Field(ge=0)] | None = 500
    """Steps after the first evaluation at which all targets are mastered; then it stops. null
    trains until `max_steps`."""
    evaluate_every: int = Field(25, ge=1)
    """Steps between evaluations on the validation set."""
    checkpoints: int = Field(12, ge=2, le=200)
    """Checkpoints over training, evenly spaced on a logarithmic scale."""
    checkpoint_accuracies: list[Annotated[float, Field(gt=0.5, le=1)]] = [0.6, 0.8, 0.9, 0.99]
    """More checkpoints: when a target's validation accuracy first reaches each of these."""
    inclusion: float = Field(0.95, ge=0, le=1)
    """Test accuracy that every target must reach for the network to enter effect estimates."""
    two_classes: TwoClasses = "sigmoid"
    """Output of a feature of two classes: one logit, or one per class; more classes always have
    one each."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number format of a training step's matrix products; weights stay in float32."""

    @model_validator(mode="after")
    def _possible(self) -> Training:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"momentum {self.momentum} goes with optimizer 'sgd', not '{self.optimizer}'"
            )
        if self.evaluate_every > self.max_steps:
            raise ValueError(
                f"evaluate_every ({self.evaluate_every}) is larger than max_steps "
                f"({self.max_steps}): the networks would never be evaluated"
            )
        if self.warmup_steps > self.max_steps:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps}) is larger than max_steps ({self.max_steps})"
            )
        if self.targets is not None and not self.targets:
            raise ValueError("targets is empty: name at least one feature, or leave it out")
        strange = [f for f in self.curriculum if self.targets and f not in self.targets]
        if self.targets and strange:
            raise ValueError(
                f"curriculum: {strange[0]!r} is no target; {nearest(strange[0], self.targets)}"
            )
        return self


class Preprocess(Spec):
    """How an image becomes a network's input."""

    size: int = Field(224, ge=1)
    """Images are resized to size x size pixels (bilinear)."""
    mean: list[float] = Field([0.485, 0.456, 0.406], min_length=3, max_length=3)
    """Subtracted from RGB values in 0..1."""
    std: list[Annotated[float, Field(gt=0)]] = Field(
        [0.229, 0.224, 0.225], min_length=3, max_length=3
    )
    """Divides RGB values after the mean is subtracted."""

    @property
    def in_words(self) -> str:
        """What a network is shown."""
        scales = [" ".join(map("{:g}".format, values)) for values in (self.mean, self.std)]
        of = "of ImageNet" if (self.mean, self.std) == IMAGENET else "({}) and ({})".format(*scales)
        size = f"{self.size} x {self.size} pixels"
        return f"resized to {size}, RGB, normalised by the mean and standard deviation {of}"


#: Mean and standard deviation of colours, the default.
IMAGENET = Preprocess().mean, Preprocess().std


def preprocessed(by: Preprocess | str) -> str:
    """Say what becomes of images before a network is shown them."""
    return f"preprocessed by {by}" if isinstance(by, str) else by.in_words


class UserModule(Spec):
    """A PyTorch module of the user's own."""

    factory: str
    """`package.module:callable`; called with `arguments`, it returns a torch.nn.Module."""
    arguments: dict[str, Any] = {}
    """Keyword arguments of the factory."""
    files: list[InputPath] = []
    """Files and folders that the factory reads, such as weights, and modules that its own imports.
    An edit of one reruns what depends on the network, as an edit of the factory's file does; edits
    of what is not listed rerun nothing."""
    layers: list[str] = Field(min_length=1)
    """Names of modules (as in `model.named_modules()`), from input to output."""

    def source_files(self) -> list[str]:
        """Return the files of the user's code (not what they import), and those that are listed."""
        inside = (path.rglob("*") if path.is_dir() else [path] for path in self.files)
        listed = sorted(str(file) for files in inside for file in files if file.is_file())
        return list(dict.fromkeys([*files_of_import_paths(self.import_paths()), *listed]))

    def import_paths(self) -> list[str]:
        """Return the names of the user's functions, as `package.module:callable`."""
        return [self.factory]

    @field_validator("layers")
    @classmethod
    def _different(cls, layers: list[str]) -> list[str]:
        return refuse_duplicates(layers)

    @field_validator("factory")
    @classmethod
    def _importable(cls, path: str) -> str:
        return check_import_path(path)


class UserModel(UserModule):
    """A module of the user's own that is shown images."""

    preprocess: Preprocess | str = Preprocess()
    """Settings, or `package.module:callable` that maps a PIL image to a tensor."""
    pool: int | None = Field(7, ge=1)
    """Feature maps larger than pool x pool are average-pooled to it; null keeps every unit."""

    def import_paths(self) -> list[str]:
        """Return the names of the factory and, if it is a function, the preprocessing."""
        return [self.factory, *([self.preprocess] if isinstance(self.preprocess, str) else [])]

    @field_validator("preprocess")
    @classmethod
    def _preprocess_importable(cls, value: Preprocess | str) -> Preprocess | str:
        return check_import_path(value) if isinstance(value, str) else value


class TorchNetwork(UserModel):
    """A PyTorch model of the user's own."""

    kind: Literal["torch"]
    """A module of yours."""
    batch_size: int = Field(32, ge=1)
    """Images per forward pass."""


class TextNetwork(UserModule):
    """A language model of the user's own, which reads texts that stand in the stimuli's table."""

    kind: Literal["text"]
    """A module of yours that reads texts."""
    column: str
    """The column of the stimuli's table that holds the texts."""
    tokenize: str
    """`package.module:callable` that maps a list of texts to what the module is called with: a
    tensor of tokens (text, token), or a mapping of the module's arguments to tensors, such as
    tokenizers give. If it has an `attention_mask` (text, token), tokens where it is 0 are
    padding, and enter no unit."""
    tokens: Literal["mean", "first", "last"] = "mean"
    """How layers with an output (text, token, unit) become units: the mean over tokens, the first
    one, or the last one."""
    batch_size: int = Field(32, ge=1)
    """Texts per forward pass."""

    def import_paths(self) -> list[str]:
        """Return the names of the factory and the tokenizer."""
        return [self.factory, self.tokenize]

    @field_validator("tokenize")
    @classmethod
    def _tokenizer_importable(cls, path: str) -> str:
        return check_import_path(path)


class PixelNetwork(Spec):
    """The image itself, as the baseline that every network must beat."""

    kind: Literal["pixels"]
    """Pixels."""
    size: int = Field(32, ge=1)
    """Images are resized to size x size pixels."""

    @property
    def layers(self) -> list[str]:
        """Names of the layers: the pixels are the only one."""
        return ["pixels"]

    def source_files(self) -> list[str]:
        """Return no files: there is no code of the user's."""
        return []


class FeatureNetwork(Spec):
    """What is known of the stimuli, such as categories, as models to compare with."""

    kind: Literal["features"]
    """Columns of the stimuli's table."""
    spaces: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(min_length=1)
    """Name of a feature space to its columns in the table of the stimulus set. Text becomes one
    unit per value, a number is a unit. `emb_*` is every column that begins so, `emb_0..emb_511` a
    range of numbered ones. Each space is what a layer is to a network."""
    scale: Literal["none", "z", "unit"] | None = None
    """How numbers of one space are scaled. `none` keeps them as they are: for embeddings, and for
    whatever has one unit of measure. `z` gives every column a mean of 0 and a standard deviation
    of 1: for columns of different units, such as a size and a luminance. `unit` gives the vector of
    every stimulus a length of 1: for embeddings that are compared by their cosine. A space of
    several columns must say; the scale of a single one makes no difference. It holds for all spaces
    of the network: spaces that are scaled in different ways are two networks, which a partition
    (`encoding.partition`) may mix."""
    distance: Literal["correlation", "euclidean", "squared_euclidean"] = "euclidean"
    """Dissimilarity between two stimuli, instead of `geometry.distance`."""

    @property
    def layers(self) -> list[str]:
        """Names of the feature spaces."""
        return list(self.spaces)

    def source_files(self) -> list[str]:
        """Return no files: there is no code of the user's."""
        return []


class TrainedNetwork(Spec):
    """Networks that this study trains, on images of a controlled bias."""

    kind: Literal["trained"]
    """Networks of a condition of this study. Images are resized to the size that these were trained
    on (bilinear)."""
    condition: str
    """The condition (experiment/condition); its stimuli must be images."""
    seeds: int | None = Field(None, ge=1)
    """How many of its networks, those of the first seeds; all when left out."""


#: What is run as it is, without what a study trains.
GivenNetwork = TorchNetwork | TextNetwork | PixelNetwork | FeatureNetwork
