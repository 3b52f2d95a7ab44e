"""What a pretrained network sees in each image, or in each text: features for whoever has no network of their own.

Features are appended to a file as they come, a row a sample, so that a run that was stopped goes on where it was, and
another run on the same samples reads them. The file's name holds a hash of the samples and the weights.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from ..gradients import eval_mode
from ..progress import bar, say
from ..words import count

SIDE = 128  # pixels a side of what a network is shown, unless it reads one size alone; images are read up to this one
BATCH = 64
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of its channels: most networks' scale
SENTENCES = "all-MiniLM-L6-v2"  # sentence-transformers' small model for English
ASKED_AGAIN = 1e-2  # of their size: by so much features may differ that another machine made


@dataclass(frozen=True)
class Extractor:
    """``features`` of a list of samples as float32 [b, d]; ``name`` and ``weights``, a hash, tell extractors apart."""

    name: str
    weights: str
    features: Callable[[Any], np.ndarray]


def image_network(name: str, weights: str | Path | None = None, device: str = "cpu") -> Extractor:
    """A network of torchvision, or of timm by ``timm/NAME``, whose features are what goes into its last linear layer.

    Without ``weights``, a file of a state dict, its published ones are fetched once, as its library does. Raises
    ValueError for a name that there is not, a library that is not installed, weights that cannot be had or do not
    fit, and a network that does not end in a linear layer.
    """
    check_network(name)
    state = None if weights is None else _read_weights(Path(weights))
    try:
        model = _timm(name[5:], state) if name.startswith("timm/") else _torchvision(name, state)
    except OSError as error:  # urllib's among them
        raise ValueError(
            f"the weights of {name} cannot be fetched ({error}): name a file of them by --weights"
        ) from error
    head = _check_head(model, name)
    if state is not None:
        _load(model, state, name, Path(weights))
    side, scale = _only_side(model) or SIDE, scale_of(name, model)
    model = model.to(device).requires_grad_(False)

    def features(images: Tensor) -> np.ndarray:
        seen: list[Tensor] = []
        handle = head[1].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        try:
            with eval_mode(model), torch.no_grad():
                model(shown(images, side, scale).to(device))
        finally:
            handle.remove()
        return seen[-1].flatten(1).float().cpu().numpy()

    return Extractor(name, f"{_hash_of(model)} {scale}", features)


def check_network(name: str) -> None:
    """Raise ValueError for a network that there is not, or does not end in a linear layer; nothing is fetched.

    So too where its library is not installed.
    """
    if name.startswith("timm/"):
        try:
            import timm
        except ImportError as error:
            raise ValueError(f"{name} needs timm, which is not installed: pip install timm") from error
        if not timm.is_model(name[5:]):
            raise ValueError(
                f"timm has no network {name[5:]!r}; python -c 'import timm; print(timm.list_models())' lists them"
            )
        return
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(f"torchvision has no network {name!r}; there are: {', '.join(known)} (timm's as timm/NAME)")
    # on "meta" there are no weights; what cannot be made there is let pass
    with suppress(RuntimeError, NotImplementedError), torch.device("meta"):
        _check_head(models.get_model(name, weights=None), name)


def _check_head(model: nn.Module, name: str) -> tuple[str, nn.Linear]:
    head = _head(model)
    if head is None:
        raise ValueError(f"{name} does not end in a linear layer: its features are not known")
    return head


def check_texts() -> None:
    """Raise ValueError where sentence-transformers is not installed."""
    if find_spec("sentence_transformers") is None:
        raise ValueError(
            "texts are turned into features by sentence-transformers, which is not installed: "
            "pip install sentence-transformers, or bring embeddings"
        )


def text_network(name: str = SENTENCES, device: str = "cpu") -> Extractor:
    """A model of sentence-transformers, by name or folder. ValueError where that is not installed, or has none such."""
    check_texts()
    from sentence_transformers import SentenceTransformer

    try:
        model = SentenceTransformer(name, device=device)
    except (OSError, ValueError) as error:
        raise ValueError(f"sentence-transformers has no model {name!r} here ({error}): name a folder of one") from error

    def features(texts: Sequence[str]) -> np.ndarray:
        return np.asarray(model.encode(list(texts), show_progress_bar=False), dtype=np.float32)

    return Extractor(name, _hash_of(model), features)


def scale_of(name: str, model: nn.Module) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and deviation of the channels with which a network was trained: what its library says."""
    if name.startswith("timm/"):
        told = getattr(model, "default_cfg", {})
        found = told.get("mean"), told.get("std")
    else:
        from torchvision import models

        told = models.get_model_weights(name).DEFAULT.transforms()
        found = getattr(told, "mean", None), getattr(told, "std", None)
    return found if all(one is not None and len(one) == 3 for one in found) else IMAGENET


def shown(images: Tensor, side: int, scale: tuple[Sequence[float], Sequence[float]] = IMAGENET) -> Tensor:
    """Images [b, channels, h, w], uint8 or float in [0, 1], as such networks read them: float32 [b, 3, side, side]."""
    pixels = images.float() / (255 if images.dtype == torch.uint8 else 1)
    channels = pixels[:, :3] if pixels.shape[1] >= 3 else pixels[:, :1].expand(-1, 3, -1, -1)
    wide = nn.functional.interpolate(channels, (side, side), mode="bilinear", antialias=True, align_corners=False)
    mean, deviation = (wide.new_tensor(one)[:, None, None] for one in scale)
    return (wide - mean) / deviation


def extracted(samples: Tensor | Sequence[str], by: Extractor, folder: Path, *, progress: bool = True) -> np.ndarray:
    """Features of all samples, float32 [n, d]; kept in ``folder`` row by row, and not computed twice.

    Processes that want the same wait for the one that began. Raises OSError where the file cannot be written.
    """
    key = hashlib.sha256(f"{by.name} {by.weights} {_digest(samples)}".encode()).hexdigest()[:12]
    path = folder / f"features-{key}.f32"
    folder.mkdir(parents=True, exist_ok=True)
    first = by.features(samples[:1]).astype(np.float32)
    width, n = first.shape[1], len(samples)
    with _alone(path.with_name(f".{path.stem}.lock")):
        done = _whole_rows(path, width, n, first)
        if 0 < done < n:
            say(f"going on after {done} of {count(n, 'sample')}: {path}")
        with open(path, "ab") as file:
            for start in bar(range(done, n, BATCH), "features", f"batch of {BATCH}", progress):
                rows = by.features(samples[start : start + BATCH])
                file.write(np.ascontiguousarray(rows, dtype=np.float32).tobytes())
                file.flush()
        return np.fromfile(path, dtype=np.float32).reshape(n, width)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock; where a file system has none, go on without."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("another process computes these features: waiting for it")
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        say(f"{path.parent} has no locks ({error}): let no other process compute these features")
    try:
        yield
    finally:
        lock.release()


def _whole_rows(path: Path, width: int, most: int, first: np.ndarray) -> int:
    """How many rows a file holds, at most ``most``: cut off is what a kill left of another, and what is of others."""
    if not path.exists():
        return 0
    size = 4 * width
    done = min(path.stat().st_size // size, most)
    if done and not np.allclose(np.fromfile(path, np.float32, width), first[0], rtol=ASKED_AGAIN, atol=ASKED_AGAIN):
        done = 0
    os.truncate(path, done * size)
    return done


def _torchvision(name: str, state: dict | None) -> nn.Module:
    from torchvision import models

    if state is None:
        return models.get_model(name, weights="DEFAULT")
    return _as_wide_as(state, lambda **more: models.get_model(name, weights=None, **more))


def _timm(name: str, state: dict | None) -> nn.Module:
    import timm

    if state is None:
        return timm.create_model(name, pretrained=True)
    return _as_wide_as(state, lambda **more: timm.create_model(name, **more))


def _as_wide_as(state: dict, make: Callable[..., nn.Module]) -> nn.Module:
    """A network with as many classes as its weights have: those of whoever trained it further."""
    model = make()
    head = _head(model)
    if head is None or f"{head[0]}.weight" not in state:
        return model
    classes = len(state[f"{head[0]}.weight"])
    return model if classes == head[1].out_features else make(num_classes=classes)


def _head(model: nn.Module) -> tuple[str, nn.Linear] | None:
    """The last layer with weights, if it is linear."""
    layers = [(name, module) for name, module in model.named_modules() if list(module.parameters(recurse=False))]
    return layers[-1] if layers and isinstance(layers[-1][1], nn.Linear) else None


def _only_side(model: nn.Module) -> int | None:
    """Pixels a side, where a network reads one size alone."""
    timms = getattr(model, "default_cfg", {})
    if timms.get("fixed_input_size"):
        return int(timms["input_size"][-1])
    side = getattr(model, "image_size", None)
    return side if isinstance(side, int) else None


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path} is no file of weights" if path.exists() else f"{path} is not there")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch raises for whatever is in the file
        raise ValueError(
            f"{path} is no file of weights that can be read without running code in it: save model.state_dict() "
            f"({str(error).splitlines()[0]})"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no weights by name: save model.state_dict()")
    return state


def _load(model: nn.Module, state: dict[str, Tensor], name: str, path: Path) -> None:
    try:
        model.load_state_dict(state)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"the weights in {path} are not those of {name}: {reason}") from error


def _hash_of(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        # as bytes: numpy has no bfloat16
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _digest(samples: Tensor | Sequence[str]) -> str:
    digest = hashlib.sha256()
    for one in samples:
        digest.update(one.numpy().tobytes() if isinstance(one, Tensor) else f"{len(one)} {one}".encode())
    return digest.hexdigest()
