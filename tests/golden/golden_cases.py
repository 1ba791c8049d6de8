"""What the golden files are of: small models of every family, their weights, and a batch for each. No torch here."""

import json
from typing import Any

import numpy as np

from filbert import _core
from filbert.models import having

Config = dict[str, Any]
Arrays = dict[str, np.ndarray]

OUTPUTS = ("last_hidden_state", "pooler_output", "logits", "start_logits", "end_logits")

# The cases that families with a head have: its classes, what it is called by the engine, and how many labels it has.
HEADS = {
    "classes": ("ForSequenceClassification", "sequence-classification", 3),
    "tags": ("ForTokenClassification", "token-classification", 3),
    "answers": ("ForQuestionAnswering", "question-answering", 2),
    "words": ("ForMaskedLM", "masked-lm", 2),
}

_BERT = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 70,
    "hidden_act": "gelu",
    "max_position_embeddings": 20,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
_ROBERTA = {**_BERT, "max_position_embeddings": 22, "layer_norm_eps": 1e-5, "pad_token_id": 1}
_UNTYPED = {key: value for key, value in _BERT.items() if key != "type_vocab_size"}
_MPNET = {key: value for key, value in _ROBERTA.items() if key != "type_vocab_size"}
_DECODER = {key: value for key, value in _UNTYPED.items() if key != "hidden_act"}
_DECODER |= {"num_key_value_heads": 2, "head_dim": 10, "rms_norm_eps": 1e-6}
_DEBERTA = {**_BERT, "type_vocab_size": 0, "layer_norm_eps": 1e-7, "relative_attention": True}
_DEBERTA |= {"pos_att_type": ["p2c", "c2p"], "max_relative_positions": -1}
_DEBERTA_V2 = {**_DEBERTA, "norm_rel_ebd": "layer_norm"}
_ESM = {key: value for key, value in _UNTYPED.items() if key != "hidden_act"}
_ESM |= {"pad_token_id": 1, "mask_token_id": 9, "token_dropout": True, "layer_norm_eps": 1e-5}
_T5 = {"vocab_size": 60, "d_model": 24, "d_kv": 10, "d_ff": 50, "num_layers": 3, "num_heads": 3, "pad_token_id": 0}
_T5 |= {"relative_attention_max_distance": 40, "max_position_embeddings": 60}
_NOMIC = {"vocab_size": 60, "type_vocab_size": 1, "pad_token_id": 1, "max_position_embeddings": 20}
_NOMIC |= {"n_embd": 32, "n_layer": 4, "n_head": 4, "n_inner": 70, "layer_norm_epsilon": 1e-5}
_NOMIC |= {"activation_function": "gelu", "rotary_emb_base": 10000.0, "rotary_emb_fraction": 1.0}
_NOMIC |= {f"{part}_bias": True for part in ("qkv_proj", "mlp_fc1", "mlp_fc2")}
_NTK = {"rope_theta": 20000.0, "rope_scaling": {"type": "ntk", "factor": 8.0}}
_KINDS = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]

# By model_type and the name of a case. The cases of a family lie in one file.
CASES: dict[str, dict[str, Config]] = {
    "albert": {
        "groups": {**_BERT, "embedding_size": 7, "num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2},
        "gelu_new": {**_BERT, "embedding_size": 32, "hidden_act": "gelu_new"},
    },
    "bert": {
        "gelu": _BERT,
        "gelu_new": {**_BERT, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5},
        "relu_odd": {**_BERT, "hidden_act": "relu", "hidden_size": 35, "num_attention_heads": 5},
        "silu_long": {
            **{**_BERT, "hidden_act": "silu", "hidden_size": 16, "num_attention_heads": 1},
            **{"num_hidden_layers": 1, "max_position_embeddings": 150},
        },
        "alibi": {
            **{**_BERT, "hidden_size": 36, "num_attention_heads": 6},  # no power of two: slopes of two kinds
            **{"position_embedding_type": "alibi", "feed_forward_type": "geglu", "layer_norm_eps": 1e-12},
        },
    },
    "camembert": {"gelu_new": {**_ROBERTA, "hidden_act": "gelu_new"}},
    "data2vec-text": {"gelu": _ROBERTA},
    "deberta": {
        "hub": {**_DEBERTA, "position_biased_input": False},
        "clipped": {**_DEBERTA, "pos_att_type": ["p2c"], "max_relative_positions": 7, "embedding_size": 20},
    },
    "deberta-v2": {
        "v3": {**_DEBERTA_V2, "position_biased_input": False, "position_buckets": 4, "share_att_key": True},
        "v2": {
            **{**_DEBERTA_V2, "position_biased_input": True, "position_buckets": -1, "share_att_key": False},
            **{"conv_kernel_size": 3, "conv_act": "gelu", "max_relative_positions": 12},
        },
    },
    "distilbert": {
        "gelu": {
            **{"vocab_size": 60, "dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 70, "activation": "gelu"},
            **{"max_position_embeddings": 20, "pad_token_id": 0},
        },
    },
    "electra": {"narrow": {**_BERT, "embedding_size": 10}},
    "embedding_gemma2_text": {
        "windows": {
            **{**_DECODER, "num_hidden_layers": 4, "layer_types": _KINDS, "sliding_window": 4, "embedding_dim": 20},
            **{"hidden_activation": "gelu_pytorch_tanh", "global_head_dim": 12, "num_global_key_value_heads": 1},
            "hidden_size_per_layer_input": 14,
        },
    },
    "ernie": {"tasks": {**_BERT, "use_task_id": True, "task_type_vocab_size": 3}},
    "esm": {
        "rotary": {**_ESM, "position_embedding_type": "rotary", "rope_theta": 10000.0},
        "learned": {**_ESM, "position_embedding_type": "absolute", "emb_layer_norm_before": True},
    },
    "eurobert": {
        "grouped": {**_DECODER, "hidden_act": "silu", "rope_theta": 250000.0},
        "biases": {**_DECODER, "hidden_act": "gelu", "head_dim": None, "attention_bias": True, "mlp_bias": True},
    },
    "gemma3_text": {
        kind: {
            **{**_DECODER, "num_hidden_layers": 4, "layer_types": _KINDS, "sliding_window": 8},
            **{"query_pre_attn_scalar": 24, "use_bidirectional_attention": kind == "both_ways"},
            "hidden_activation": "gelu_pytorch_tanh",
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        }
        for kind in ("both_ways", "causal")
    },
    "gte": {"theta": {**_BERT, "rope_theta": 160000.0}, "ntk": {**_BERT, **_NTK}},
    "jina_embeddings_v3": {"theta": {**_BERT, "rope_theta": 20000.0}},
    "llama": {
        "llama3": {
            **{**_DECODER, "hidden_act": "silu", "rope_theta": 500000.0},
            "rope_scaling": {
                **{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
                "original_max_position_embeddings": 8,
            },
        },
        "biases": {
            **{**_DECODER, "hidden_act": "gelu", "attention_bias": True, "mlp_bias": True, "is_causal": False},
            "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
        },
    },
    "megatron-bert": {"gelu": _BERT},
    "mistral": {"window": {**_DECODER, "hidden_act": "silu", "rope_theta": 10000.0, "sliding_window": 5}},
    "model2vec": {
        "table": {"vocab_size": 60, "hidden_dim": 16, "pad_token_id": 0, "max_position_embeddings": 20},
    },
    "modernbert": {
        "windows": {
            **{**_UNTYPED, "num_hidden_layers": 4, "local_attention": 6, "hidden_activation": "gelu"},
            **{
                "global_attn_every_n_layers": 3,
                "classifier_pooling": "mean",
                "global_rope_theta": 160000.0,
                "local_rope_theta": 10000.0,
            },
            **{f"{name}_token_id": None for name in ("bos", "eos", "cls", "sep")},
        },
    },
    "mpnet": {"buckets": {**_MPNET, "hidden_size": 20, "max_position_embeddings": 50}},
    "mt5": {"gated_gelu": _T5},
    "new": {"joined": {**_BERT, **_NTK}, "apart": {**_BERT, **_NTK, "pack_qkv": False}},
    "nomic_bert": {
        "silu": {**_BERT, "hidden_act": "silu", "rope_theta": 1000.0},
        "experts": {**_NOMIC, "num_experts": 8, "moe_top_k": 2, "moe_every_n_layers": 2},
    },
    "qwen2": {
        "yarn": {
            **{**_DECODER, "hidden_act": "silu", "rope_theta": 1000000.0},
            "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8},
        },
        "both_ways": {
            **{**_DECODER, "hidden_act": "silu", "rope_theta": 1000000.0, "is_causal": False},
            **{"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
        },
    },
    "qwen3": {
        "causal": {**_DECODER, "hidden_act": "silu", "rope_theta": 1000000.0},
        "windows": {
            **{**_DECODER, "hidden_act": "gelu", "rope_theta": 10000.0, "attention_bias": True, "is_causal": False},
            **{"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
        },
    },
    "rembert": {"widths": {**_BERT, "input_embedding_size": 10, "output_embedding_size": 24}},
    "roberta": {"gelu": _ROBERTA},
    "roberta-prelayernorm": {"silu": {**_ROBERTA, "hidden_act": "silu"}},
    "roformer": {"narrow": {**_BERT, "embedding_size": 10}, "values": {**_BERT, "rotary_value": True}},
    "t5": {"relu": _T5, "gated_silu": {**_T5, "feed_forward_proj": "gated-silu", "relative_attention_num_buckets": 16}},
    "ultrabert": {
        "windows": {
            **{**_DECODER, "num_hidden_layers": 4, "layer_types": _KINDS, "sliding_window": 4, "hidden_act": "silu"},
            **{"classifier_pooling": "mean", "prediction_head_size": 50},
        },
        "older": {
            **{**_DECODER, "hidden_act": "gelu", "attention_bias": True, "mlp_bias": True},
            **{"attention_windows": [3, None, 3], "rope_theta": [10000.0, 160000.0, 10000.0]},
        },
    },
    "umt5": {"a_table_a_layer": _T5},
    "xlm-roberta": {"padding": {**_ROBERTA, "pad_token_id": 3, "max_position_embeddings": 24}},
    "xlm-roberta-xl": {"gelu": {**_ROBERTA, "type_vocab_size": 1}},
}
for _case, (_kind, _, _labels) in HEADS.items():
    for _name in having(_kind):
        _first = next(iter(CASES[_name].values()))
        CASES[_name][_case] = {**_first, "id2label": {str(i): "abc"[i] for i in range(_labels)}}

# Positions, from the ids after the padding's.
_COUNTED = (
    "camembert",
    "data2vec-text",
    "esm",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
)
_LAST = ("gemma3_text", "llama", "mistral", "qwen2", "qwen3")  # classes are of the last token
_TO_ALL = ("deberta", "deberta-v2")  # masked tokens attend to all
_PLACED = ("albert", "bert", "electra", "ernie", "megatron-bert", "rembert")  # positions that a call may give


def kept(case: str, output: np.ndarray) -> np.ndarray:
    """What is stored of an output: of logits over a vocabulary, some."""
    return output[:, ::5, ::3] if case == "words" else output


def weights(model_type: str, case: str) -> Arrays:
    """Float32 arrays by the names of filbert, from a generator whose numbers never change."""
    random = np.random.RandomState(0)
    config = CASES[model_type][case]
    task = HEADS[case][1] if case in HEADS else "model"
    specs = _core.tensor_specs(json.dumps({**config, "model_type": model_type}), task)
    scale_of_norms = 0 if model_type.startswith("gemma") else 1  # Gemma's norms add one themselves
    found = {}
    for name, shape in sorted((spec.name, spec.shape) for spec in specs):
        mean = scale_of_norms if len(shape) == 1 and name.endswith("weight") else 0
        found[name] = (mean + 0.2 * random.standard_normal(shape)).astype(np.float32)
    return found


def inputs(model_type: str, case: str) -> Arrays:
    """A batch with right padding, holes, left padding, and token types and positions where the family has them."""
    random = np.random.RandomState(1)
    config = CASES[model_type][case]
    first = config["pad_token_id"] + 1
    length = config["max_position_embeddings"] - (first if model_type in _COUNTED else 0)
    mask = np.ones((4, length), np.int64)
    mask[1, length // 2 :] = 0
    mask[2] = random.random_sample(length) < 0.6
    mask[3, :7] = 0
    ids = random.randint(first, config["vocab_size"], mask.shape)
    ids[3, :7] = config["pad_token_id"]
    if case == "classes" and model_type in _LAST:  # for transformers looks at ids, not at the mask
        ids[mask == 0] = config["pad_token_id"]
    if case == "classes" and model_type in _TO_ALL:  # of a masked first token it takes the mean of all
        mask[:, 0] = 1
    call = {"input_ids": ids, "attention_mask": mask}
    if config.get("type_vocab_size"):
        call["token_type_ids"] = random.randint(0, config["type_vocab_size"], mask.shape)
    if model_type in _PLACED and "position_embedding_type" not in config:
        call["position_ids"] = np.stack([random.permutation(length) for _ in mask])
    return call
