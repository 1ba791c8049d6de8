"""The families under test: a row each. From a row follow parity, invariance, saving and loading both ways."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

LABELS = ("Model", "ForSequenceClassification", "ForTokenClassification")
WORDS = (*LABELS, "ForMaskedLM")
ALL = (*WORDS, "ForQuestionAnswering")
DECODER = (*LABELS, "ForQuestionAnswering", "ForNextToken")

ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu", "tanh", "gelu_fast")


class Family(NamedTuple):
    """stem: what the names of its classes begin with, here and in transformers. draw: a small configuration.

    pads: whether padding ids may stand among the others (where positions are counted from ids).
    in_transformers: whether transformers has it under that name. base: what the name of its base model ends in.
    """

    stem: str
    draw: Callable[[np.random.Generator], dict[str, Any]]
    pads: bool = False
    types: bool = True
    pooler: bool = True
    tasks: tuple[str, ...] = ALL
    in_transformers: bool = True
    base: str = "Model"

    def class_name(self, task: str) -> str:
        return self.stem + (self.base if task == "Model" else task)


def _bert(rng: np.random.Generator) -> dict[str, Any]:
    head_size, heads = [(16, 1), (12, 3), (20, 2), (32, 3), (64, 2), (33, 4), (8, 5)][rng.integers(7)]
    return {
        "vocab_size": int(rng.integers(20, 300)),
        "hidden_size": head_size * heads,
        "num_attention_heads": heads,
        "num_hidden_layers": int(rng.integers(1, 4)),
        "intermediate_size": int(rng.integers(1, 200)),
        "max_position_embeddings": int(rng.choice([24, 64, 300])),
        "type_vocab_size": int(rng.integers(1, 4)),
        "hidden_act": str(rng.choice(ACTIVATIONS)),
        "layer_norm_eps": float(rng.choice([1e-12, 1e-5])),
        "initializer_range": float(rng.choice([0.02, 0.2])),
        "num_labels": int(rng.integers(1, 6)),
    }


def _ernie(rng: np.random.Generator) -> dict[str, Any]:
    return {**_bert(rng), "use_task_id": bool(rng.random() < 0.7), "task_type_vocab_size": int(rng.integers(1, 5))}


def _roberta(rng: np.random.Generator) -> dict[str, Any]:
    return {**_bert(rng), "pad_token_id": int(rng.integers(0, 4))}


def _distilbert(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _bert(rng)
    return {
        "vocab_size": drawn["vocab_size"],
        "dim": drawn["hidden_size"],
        "n_heads": drawn["num_attention_heads"],
        "n_layers": drawn["num_hidden_layers"],
        "hidden_dim": drawn["intermediate_size"],
        "max_position_embeddings": drawn["max_position_embeddings"],
        "activation": drawn["hidden_act"],
        "initializer_range": drawn["initializer_range"],
        "num_labels": drawn["num_labels"],
    }


def _mpnet(rng: np.random.Generator) -> dict[str, Any]:
    drawn = {**_bert(rng), "pad_token_id": 1, "relative_attention_num_buckets": int(rng.choice([32, 40]))}
    del drawn["type_vocab_size"]
    return drawn


# Rotated in pairs, and not so narrow that a norm of a head has next to nothing to span.
EVEN_HEADS = (16, 12, 20, 32, 64, 34, 8)


def _layer_types(rng: np.random.Generator, layers: int) -> list[str]:
    return [str(rng.choice(["full_attention", "sliding_attention"])) for _ in range(layers)]


def _modernbert(rng: np.random.Generator) -> dict[str, Any]:
    drawn, heads = _bert(rng), int(rng.integers(1, 6))
    layers = int(rng.integers(1, 5))
    thetas = {"full": float(rng.choice([160000, 1000])), "sliding": float(rng.choice([10000, 30.5]))}
    config = {
        **{key: drawn[key] for key in ("vocab_size", "intermediate_size", "initializer_range", "num_labels")},
        "max_position_embeddings": drawn["max_position_embeddings"],
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_size": heads * int(rng.choice(EVEN_HEADS[: 5 if heads == 1 else None])),
        "hidden_activation": drawn["hidden_act"],
        "norm_eps": drawn["layer_norm_eps"],
        "local_attention": int(rng.choice([2, 3, 8, 30, 1000])),
        "classifier_pooling": str(rng.choice(["cls", "mean"])),
        "classifier_activation": str(rng.choice(ACTIVATIONS)),
        **{f"{part}_bias": bool(rng.integers(2)) for part in ("norm", "attention", "mlp", "classifier")},
        "pad_token_id": 0,
        **{f"{name}_token_id": None for name in ("bos", "eos", "cls", "sep")},
    }
    if rng.integers(2):
        config["layer_types"] = _layer_types(rng, layers)
        kinds = {f"{kind}_attention": {"rope_theta": theta} for kind, theta in thetas.items()}
        config["rope_parameters"] = {kind: {"rope_type": "default", **theta} for kind, theta in kinds.items()}
    else:
        config["global_attn_every_n_layers"] = int(rng.integers(1, 5))
        config.update(global_rope_theta=thetas["full"], local_rope_theta=thetas["sliding"])
    return config


def _qwen3(rng: np.random.Generator) -> dict[str, Any]:
    drawn, kv_heads, layers = _bert(rng), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    theta = float(rng.choice([10000, 1000000, 30.5]))
    config = {
        **{key: drawn[key] for key in ("vocab_size", "intermediate_size", "hidden_act", "initializer_range")},
        "max_position_embeddings": drawn["max_position_embeddings"],
        "num_hidden_layers": layers,
        "hidden_size": int(rng.integers(16, 140)),
        "num_attention_heads": kv_heads * int(rng.integers(1, 4)),
        "num_key_value_heads": kv_heads,
        "head_dim": int(rng.choice(EVEN_HEADS)),
        "rms_norm_eps": float(rng.choice([1e-6, 1e-3])),
        "attention_bias": bool(rng.integers(2)),
        "use_sliding_window": bool(rng.integers(2)),
        "sliding_window": int(rng.choice([2, 3, 8, 30, 1000])),
        "max_window_layers": int(rng.integers(0, 3)),
        "is_causal": bool(rng.random() < 0.8),
        "pad_token_id": 0,
    }
    if config["use_sliding_window"] and rng.integers(2):
        config["layer_types"] = _layer_types(rng, layers)
    return {**config, **({"rope_theta": theta} if rng.integers(2) else {"rope_parameters": {"rope_theta": theta}})}


def rope(rng: np.random.Generator, kind: str) -> dict[str, Any]:
    """An object of rope_parameters without its theta."""
    own = {"factor": float(rng.choice([2, 3.7, 8]))}
    if kind != "linear":
        own["original_max_position_embeddings"] = int(rng.choice([8, 50]))
    if kind == "llama3":
        own |= {"low_freq_factor": float(rng.choice([1.0, 0.3])), "high_freq_factor": float(rng.choice([4.0, 1.5]))}
    if kind == "yarn" and rng.integers(2):
        own |= {"beta_fast": 16.0, "beta_slow": 0.5, "mscale": 1.0, "mscale_all_dim": 0.4, "truncate": True}
    return {"rope_type": kind, **own}


def _rotation(rng: np.random.Generator) -> dict[str, Any]:
    """Of all layers, scaled or not, in one of its spellings."""
    theta, kind = float(rng.choice([10000, 1000000, 30.5])), str(rng.choice(["default", "linear", "llama3", "yarn"]))
    own = {} if kind == "default" else rope(rng, kind)
    if rng.integers(2):
        return {"rope_parameters": {**own, "rope_theta": theta}}
    return {"rope_theta": theta, **({"rope_scaling": own} if own else {})}


def _decoder(rng: np.random.Generator, *others: str) -> dict[str, Any]:
    """What Llama and the families after it have in common; `others` of what Qwen3 has."""
    drawn = _qwen3(rng)
    heads = drawn["num_attention_heads"]
    config = {
        **{key: drawn[key] for key in ("vocab_size", "intermediate_size", "hidden_act", "initializer_range")},
        **{key: drawn[key] for key in ("max_position_embeddings", "num_hidden_layers", "num_attention_heads")},
        **{key: drawn[key] for key in ("num_key_value_heads", "rms_norm_eps", "is_causal", "pad_token_id")},
        **{key: drawn[key] for key in others if key in drawn},
        "hidden_size": heads * 2 * int(rng.integers(8 if heads == 1 else 4, 24)),
        **_rotation(rng),
    }
    return {**config, "head_dim": drawn["head_dim"]} if rng.integers(2) else config


def _llama(rng: np.random.Generator) -> dict[str, Any]:
    ids = {f"{name}_token_id": 0 for name in ("bos", "eos")}
    return {**_decoder(rng, "attention_bias"), "mlp_bias": bool(rng.integers(2)), **ids}


def _mistral(rng: np.random.Generator) -> dict[str, Any]:
    return {**_decoder(rng), "sliding_window": [None, 2, 3, 8, 30, 1000][rng.integers(6)]}


def _qwen2(rng: np.random.Generator) -> dict[str, Any]:
    return _decoder(rng, "use_sliding_window", "sliding_window", "max_window_layers", "layer_types")


def _eurobert(rng: np.random.Generator) -> dict[str, Any]:
    drawn, kv_heads = _bert(rng), int(rng.integers(1, 4))
    heads, theta = kv_heads * int(rng.integers(1, 4)), float(rng.choice([250000, 30.5]))
    return {
        **{key: drawn[key] for key in ("vocab_size", "intermediate_size", "hidden_act", "initializer_range")},
        **{key: drawn[key] for key in ("max_position_embeddings", "num_hidden_layers")},
        "hidden_size": heads * 2 * int(rng.integers(8 if heads == 1 else 4, 24)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads if rng.integers(2) else None,
        "head_dim": int(rng.choice(EVEN_HEADS)) if rng.integers(2) else None,
        "rms_norm_eps": float(rng.choice([1e-5, 1e-3])),
        "attention_bias": bool(rng.integers(2)),
        "mlp_bias": bool(rng.integers(2)),
        "classifier_pooling": str(rng.choice(["bos", "mean", "late"])),
        **{f"{name}_token_id": 0 for name in ("pad", "bos", "eos", "mask")},
        **({"rope_theta": theta} if rng.integers(2) else {"rope_parameters": {"rope_theta": theta}}),
    }


def _ultrabert(rng: np.random.Generator) -> dict[str, Any]:
    drawn, kinds = _eurobert(rng), _layer_types(rng, int(rng.integers(1, 5)))
    thetas = {
        "full_attention": float(rng.choice([160000, 1000])),
        "sliding_attention": float(rng.choice([10000, 30.5])),
    }
    config = {
        **{key: value for key, value in drawn.items() if key not in ("rope_theta", "rope_parameters", "mask_token_id")},
        "num_hidden_layers": len(kinds),
        "classifier_pooling": str(rng.choice(["cls", "mean"])),
        "prediction_head_size": int(rng.choice([1, 20, 130, 800])),
        "sliding_window": int(rng.choice([1, 3, 8, 500])),
    }
    spelling = rng.integers(3)
    if spelling == 0:
        return config
    if spelling == 1:
        window = config["sliding_window"]
        windows = [window if kind == "sliding_attention" else rng.choice([None, 0]) for kind in kinds]
        return {**config, "attention_windows": windows, "rope_theta": [thetas[kind] for kind in kinds]}
    parameters = {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()}
    return {**config, "layer_types": kinds, "rope_parameters": parameters}


def _electra(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _bert(rng)
    return {**drawn, "embedding_size": int(rng.choice([drawn["hidden_size"], 7, 48]))}


def _rembert(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _bert(rng)
    return {
        **drawn,
        "input_embedding_size": int(rng.choice([drawn["hidden_size"], 7, 48])),
        "output_embedding_size": int(rng.choice([drawn["hidden_size"], 20, 40])),
    }


def _albert(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _bert(rng)
    layers = int(rng.integers(1, 5))
    return {
        **{**drawn, "num_hidden_layers": layers},
        "embedding_size": int(rng.choice([drawn["hidden_size"], 7, 48])),
        "num_hidden_groups": int(rng.integers(1, layers + 1)),
        "inner_group_num": int(rng.integers(1, 3)),
    }


def _rotary_bert(rng: np.random.Generator) -> dict[str, Any]:
    """Post-norm with rotary positions."""
    drawn, heads = _bert(rng), int(rng.integers(1, 6))
    theta = float(rng.choice([10000, 160000, 30.5]))
    return {
        **drawn,
        "num_attention_heads": heads,
        "hidden_size": heads * int(rng.choice(EVEN_HEADS[: 5 if heads == 1 else None])),
        "pad_token_id": 0,
        **({"rope_theta": theta} if rng.integers(2) else {"rope_parameters": {"rope_theta": theta}}),
    }


def _roformer(rng: np.random.Generator) -> dict[str, Any]:
    drawn = {key: value for key, value in _rotary_bert(rng).items() if not key.startswith("rope")}
    return {
        **drawn,
        "embedding_size": [None, drawn["hidden_size"], 7, 48][rng.integers(4)],
        "rotary_value": bool(rng.random() < 0.4),
    }


def _model2vec(rng: np.random.Generator) -> dict[str, Any]:
    return {"vocab_size": int(rng.integers(20, 300)), "hidden_dim": int(rng.integers(1, 140))}


def _gte(rng: np.random.Generator) -> dict[str, Any]:
    return {**_rotary_bert(rng), "type_vocab_size": int(rng.integers(0, 3))}


def _gemma3(rng: np.random.Generator) -> dict[str, Any]:
    drawn, kv_heads, layers = _bert(rng), int(rng.integers(1, 3)), int(rng.integers(1, 5))
    full, sliding = float(rng.choice([1000000, 1000])), float(rng.choice([10000, 30.5]))
    heads = kv_heads * int(rng.integers(1, 4))
    config = {
        **{key: drawn[key] for key in ("vocab_size", "intermediate_size", "initializer_range")},
        "max_position_embeddings": drawn["max_position_embeddings"],
        "hidden_activation": drawn["hidden_act"],
        "num_hidden_layers": layers,
        "hidden_size": heads * int(rng.integers(8, 40)),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": int(rng.choice(EVEN_HEADS)),
        "query_pre_attn_scalar": int(rng.choice([256, 24, 7])),
        "rms_norm_eps": float(rng.choice([1e-6, 1e-3])),
        "attention_bias": bool(rng.integers(2)),
        "sliding_window": int(rng.choice([2, 4, 8, 30, 1000])),  # of an odd one, transformers keeps one less
        "use_bidirectional_attention": bool(rng.random() < 0.7),
        "pad_token_id": 0,
    }
    if rng.integers(2):
        config["layer_types"] = _layer_types(rng, layers)
        thetas = {"full_attention": {"rope_theta": full}, "sliding_attention": {"rope_theta": sliding}}
        return {**config, "rope_parameters": {kind: {"rope_type": "default", **own} for kind, own in thetas.items()}}
    return {
        **config,
        "sliding_window_pattern": int(rng.integers(1, 4)),
        "rope_theta": full,
        "rope_local_base_freq": sliding,
    }


def _t5(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _bert(rng)
    return {
        "vocab_size": drawn["vocab_size"],
        "d_model": int(rng.integers(16, 140)),
        "d_kv": int(rng.choice([8, 16, 20, 33, 64])),
        "d_ff": drawn["intermediate_size"],
        "num_layers": drawn["num_hidden_layers"],
        "num_heads": int(rng.integers(1, 6)),
        "relative_attention_num_buckets": int(rng.choice([32, 64, 16, 4])),
        "relative_attention_max_distance": int(rng.choice([128, 60, 20])),
        "layer_norm_epsilon": float(rng.choice([1e-6, 1e-3])),
        "feed_forward_proj": str(rng.choice(["relu", "gated-gelu", "gelu", "gated-silu"])),
        "pad_token_id": 0,
    }


# What the families with rotary positions have in common.
_ROTARY: dict[str, Any] = {"pooler": False, "tasks": WORDS}


def _rotary(*tasks: str) -> dict[str, Any]:
    return {**_ROTARY, "tasks": tasks}


def _deberta(rng: np.random.Generator) -> dict[str, Any]:
    config = {
        **_bert(rng),
        "type_vocab_size": int(rng.integers(0, 3)),
        "layer_norm_eps": float(rng.choice([1e-7, 1e-5])),
        "relative_attention": bool(rng.random() < 0.85),
        "max_relative_positions": -1 if rng.integers(2) else int(rng.integers(1, 60)),
        "pos_att_type": [None, [], ["c2p"], ["p2c"], "p2c|c2p", ["c2p", "p2c"], "P2C | c2p"][rng.integers(7)],
        "position_biased_input": bool(rng.integers(2)),
        "pooler_hidden_act": str(rng.choice(ACTIVATIONS)),
    }
    if rng.integers(2):
        config["embedding_size"] = int(rng.integers(16, 70))
    return config


def _deberta_v2(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _bert(rng)
    buckets = int(rng.choice([-1, 2, 5, 6, 8, 16, 32]))
    config = {
        **drawn,
        "type_vocab_size": int(rng.integers(0, 3)),
        "layer_norm_eps": float(rng.choice([1e-7, 1e-5])),
        "relative_attention": bool(rng.random() < 0.85),
        "position_buckets": buckets,
        "max_relative_positions": -1 if rng.integers(2) else buckets // 2 + 2 + int(rng.integers(1, 60)),
        "share_att_key": bool(rng.integers(2)),
        "pos_att_type": [None, [], ["c2p"], ["p2c"], "p2c|c2p", ["c2p", "p2c"], "P2C | c2p"][rng.integers(7)],
        "norm_rel_ebd": str(rng.choice(["none", "layer_norm", "Layer_Norm|none"])),
        "position_biased_input": bool(rng.integers(2)),
        "conv_kernel_size": int(rng.choice([0, 1, 3, 5])),
        "conv_act": str(rng.choice(ACTIVATIONS)),
        "conv_groups": drawn["num_attention_heads"] if rng.integers(2) else 1,
        "pooler_hidden_act": str(rng.choice(ACTIVATIONS)),
    }
    if rng.integers(2):
        config["embedding_size"] = int(rng.integers(16, 70))
    if rng.integers(2):
        config["attention_head_size"] = drawn["hidden_size"] // drawn["num_attention_heads"]
    return config


def _embedding_gemma2(rng: np.random.Generator) -> dict[str, Any]:
    drawn = _bert(rng)
    layers = drawn["num_hidden_layers"]
    kv_heads, sizes = int(rng.integers(1, 4)), rng.choice(EVEN_HEADS, 2)
    return {
        **{key: drawn[key] for key in ("vocab_size", "hidden_size", "intermediate_size", "initializer_range")},
        "max_position_embeddings": drawn["max_position_embeddings"],
        "num_hidden_layers": layers,
        "num_attention_heads": 6,
        "num_key_value_heads": kv_heads,
        "head_dim": int(sizes[0]),
        "global_head_dim": int(sizes[1]),
        "num_global_key_value_heads": int(rng.choice([1, 2, 6])),
        "hidden_activation": drawn["hidden_act"],
        "rms_norm_eps": drawn["layer_norm_eps"],
        "sliding_window": int(rng.choice([1, 3, 8, 500])),
        "layer_types": _layer_types(rng, layers),
        "hidden_size_per_layer_input": int(rng.integers(1, 80)),
        "embedding_dim": int(rng.integers(1, 80)),
        "attention_bias": bool(rng.integers(2)),
        "pad_token_id": 0,
    }


def _esm(rng: np.random.Generator) -> dict[str, Any]:
    drawn, heads = _bert(rng), int(rng.integers(1, 6))
    return {
        **{key: drawn[key] for key in ("vocab_size", "intermediate_size", "initializer_range", "layer_norm_eps")},
        **{key: drawn[key] for key in ("max_position_embeddings", "num_hidden_layers")},
        "num_attention_heads": heads,
        "hidden_size": heads * int(rng.choice(EVEN_HEADS[: 5 if heads == 1 else None])),
        "position_embedding_type": str(rng.choice(["rotary", "absolute"])),
        "rope_theta": float(rng.choice([10000, 30.5])),
        "emb_layer_norm_before": bool(rng.integers(2)),
        "token_dropout": bool(rng.random() < 0.7),
        "mask_token_id": int(rng.integers(4, 12)),
        "pad_token_id": int(rng.integers(0, 4)),
    }


_T5: dict[str, Any] = {**_rotary("Model", "ForTokenClassification"), "types": False, "base": "EncoderModel"}

FAMILIES = {
    "albert": Family("Albert", _albert),
    "bert": Family("Bert", _bert),
    "camembert": Family("Camembert", _roberta, pads=True),
    "data2vec-text": Family("Data2VecText", _roberta, pads=True),
    "deberta": Family("Deberta", _deberta, pooler=False),
    "deberta-v2": Family("DebertaV2", _deberta_v2, pooler=False),
    "distilbert": Family("DistilBert", _distilbert, types=False, pooler=False),
    "electra": Family("Electra", _electra, pooler=False),
    "embedding_gemma2_text": Family("EmbeddingGemma2Text", _embedding_gemma2, types=False, **_rotary("Model")),
    "ernie": Family("Ernie", _ernie),
    "esm": Family("Esm", _esm, pads=True, types=False, tasks=WORDS),
    "eurobert": Family("EuroBert", _eurobert, types=False, **_ROTARY),
    "gemma3_text": Family("Gemma3Text", _gemma3, types=False, **_rotary(*LABELS[:2])),
    "gte": Family("Gte", _gte, **_ROTARY),
    "jina_embeddings_v3": Family("JinaEmbeddingsV3", _rotary_bert, **{**_ROTARY, "pooler": True, "tasks": ALL}),
    "llama": Family("Llama", _llama, types=False, **_rotary(*DECODER)),
    "megatron-bert": Family("MegatronBert", _bert),
    "mistral": Family("Mistral", _mistral, types=False, **_rotary(*DECODER)),
    "model2vec": Family("Model2Vec", _model2vec, types=False, in_transformers=False, **_rotary("Model")),
    "modernbert": Family("ModernBert", _modernbert, types=False, pooler=False),
    "mpnet": Family("MPNet", _mpnet, pads=True, types=False),
    "mt5": Family("MT5", _t5, **_T5),
    "new": Family("New", _gte, in_transformers=False, **_ROTARY),
    "nomic_bert": Family("NomicBert", _rotary_bert, **_ROTARY),
    "qwen2": Family("Qwen2", _qwen2, types=False, **_rotary(*DECODER)),
    "qwen3": Family("Qwen3", _qwen3, types=False, **_rotary(*DECODER)),
    "rembert": Family("RemBert", _rembert),
    "roberta": Family("Roberta", _roberta, pads=True),
    "roberta-prelayernorm": Family("RobertaPreLayerNorm", _roberta, pads=True),
    "roformer": Family("RoFormer", _roformer, pooler=False),
    "t5": Family("T5", _t5, **_T5),
    "ultrabert": Family("Ultrabert", _ultrabert, types=False, pooler=False),
    "umt5": Family("UMT5", _t5, **_T5),
    "xlm-roberta": Family("XLMRoberta", _roberta, pads=True),
    "xlm-roberta-xl": Family("XLMRobertaXL", _roberta, pads=True),
}
DEBERTAS = ("deberta", "deberta-v2")
MODELS = [(name, task) for name, family in FAMILIES.items() for task in family.tasks]
REFERENCED = [name for name, family in FAMILIES.items() if family.in_transformers]
CLASSIFIERS = [name for name, task in MODELS if task == "ForSequenceClassification"]
DECODERS = [name for name, task in MODELS if task == "ForNextToken"]
# Their head has no class of transformers: it is tested by itself.
IN_TRANSFORMERS = [model for model in MODELS if model[1] != "ForNextToken"]
HEADS = [model for model in IN_TRANSFORMERS if model[1] != "Model"]


def draw(name: str, task: str, seed: int) -> dict[str, Any]:
    """A small configuration for a task."""
    config = FAMILIES[name].draw(np.random.default_rng(seed))
    if task == "ForQuestionAnswering":
        return {**config, "num_labels": 2}
    if task == "ForNextToken":
        return {**config, "next_token_ids": [7, 3]}
    if task == "ForMaskedLM":
        own = {"tie_word_embeddings": bool(seed % 3)}
        if name == "modernbert":
            own["decoder_bias"] = bool(seed % 2)
        if name in DEBERTAS:
            return {**config, **own, "legacy": config.get("embedding_size", 0) != 0 or bool(seed % 2)}
        return {**config, **own}
    return {**config, "num_labels": 1 + seed % 5} if task != "Model" else config


def draw_call(
    family: Family, config: dict[str, Any], rng: np.random.Generator, kind: int, batch: int | None = None
) -> dict[str, Any]:
    """Inputs of a call: ids, and of five kinds of masks (none, ones, holes, right and left padding) one."""
    padding = config.get("pad_token_id", 0)
    longest = config.get("max_position_embeddings", 64) - (padding + 1 if family.pads else 0)
    length = int(rng.integers(1, longest + 1)) if batch is None else int(rng.integers(1, 17))
    batch = int(rng.integers(1, 5)) if batch is None else batch
    ids = rng.integers(0, config["vocab_size"], (batch, length))
    if not family.pads:
        ids[ids == padding] = padding + 1
    call = {"input_ids": ids}
    mask = [
        None,
        np.ones((batch, length)),
        rng.random((batch, length)) < 0.7,
        np.arange(length) < rng.integers(1, length + 1, (batch, 1)),
        np.arange(length) >= rng.integers(0, length, (batch, 1)),
    ][kind]
    if mask is not None:
        mask = mask.astype(np.int64)
        mask[mask.sum(1) == 0, 0] = 1
        call["attention_mask"] = mask
        if family.pads and kind > 2:
            ids[mask == 0] = padding
    if config.get("token_dropout"):
        ids[rng.random(ids.shape) < 0.1] = config["mask_token_id"]
        is_masked, kept = ids == config["mask_token_id"], call.get("attention_mask", np.ones(ids.shape)).sum(1)
        ids[is_masked & (is_masked.sum(1) == kept)[:, None]] += 1  # of as many as tokens, transformers divides by zero
    if family.types and config["type_vocab_size"] > 0 and rng.random() < 0.5:
        call["token_type_ids"] = rng.integers(0, config["type_vocab_size"], (batch, length))
    return call
