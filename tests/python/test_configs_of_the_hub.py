"""config.json of models of the hub, as they are but smaller: nothing in them warns, all is kept as in transformers."""

import json
import warnings

import pytest

from filbert import AutoConfig, AutoModel

DEBERTA = {
    "model_type": "deberta", "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
    "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 512,
    "relative_attention": True, "pos_att_type": "c2p|p2c", "layer_norm_eps": 1e-7, "max_relative_positions": -1,
    "position_biased_input": False, "num_attention_heads": 12, "num_hidden_layers": 12, "type_vocab_size": 0,
    "vocab_size": 50265,
}  # fmt: skip
DEBERTA_CLASSIFIER = {
    **DEBERTA, "architectures": ["DebertaForSequenceClassification"], "pos_att_type": ["c2p", "p2c"],
    "id2label": {"0": "contradiction", "1": "entailment", "2": "neutral"}, "pooler_dropout": 0, "pad_token_id": 0,
    "label2id": {"contradiction": 0, "entailment": 1, "neutral": 2}, "pooler_hidden_act": "gelu",
    "pooler_hidden_size": 768, "transformers_version": "4.5.0", "attention_head_size": 64, "padding_idx": 0,
}  # fmt: skip
DEBERTA_V3 = {
    **DEBERTA, "model_type": "deberta-v2", "position_buckets": 256, "norm_rel_ebd": "layer_norm",
    "share_att_key": True, "pos_att_type": "p2c|c2p", "vocab_size": 128100,
}  # fmt: skip
DEBERTA_V2_XLARGE = {
    **DEBERTA_V3, "hidden_size": 1536, "intermediate_size": 6144, "num_attention_heads": 24, "attention_head_size": 64,
    "num_hidden_layers": 24, "conv_kernel_size": 3, "conv_act": "gelu",
}  # fmt: skip
ON_THE_HUB = {
    "deberta-base": DEBERTA,
    "a classifier of deberta-base": DEBERTA_CLASSIFIER,
    "deberta-v3-base": DEBERTA_V3,
    "deberta-v2-xlarge": DEBERTA_V2_XLARGE,
    "ModernBERT-base": {
        "architectures": ["ModernBertForMaskedLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 50281, "classifier_activation": "gelu", "classifier_bias": False, "classifier_dropout": 0.0,
        "classifier_pooling": "mean", "cls_token_id": 50281, "decoder_bias": True, "deterministic_flash_attn": False,
        "embedding_dropout": 0.0, "eos_token_id": 50282, "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0, "gradient_checkpointing": False, "hidden_activation": "gelu",
        "hidden_size": 768, "initializer_cutoff_factor": 2.0, "initializer_range": 0.02, "intermediate_size": 1152,
        "layer_norm_eps": 1e-05, "local_attention": 128, "local_rope_theta": 10000.0,
        "max_position_embeddings": 8192, "mlp_bias": False, "mlp_dropout": 0.0, "model_type": "modernbert",
        "norm_bias": False, "norm_eps": 1e-05, "num_attention_heads": 12, "num_hidden_layers": 22,
        "pad_token_id": 50283, "position_embedding_type": "absolute", "reference_compile": None,
        "repad_logits_with_grad": False, "sep_token_id": 50282, "sparse_pred_ignore_index": -100,
        "sparse_prediction": False, "tie_word_embeddings": True, "torch_dtype": "float32",
        "transformers_version": "4.47.0.dev0", "vocab_size": 50368,
    },
    "all-mpnet-base-v2": {
        "_name_or_path": "microsoft/mpnet-base", "architectures": ["MPNetForMaskedLM"],
        "attention_probs_dropout_prob": 0.1, "bos_token_id": 0, "eos_token_id": 2, "gradient_checkpointing": False,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02,
        "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 514, "model_type": "mpnet",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1,
        "relative_attention_num_buckets": 32, "tokenizer_class": "MPNetTokenizer", "torch_dtype": "float32",
        "transformers_version": "4.8.2", "vocab_size": 30527,
    },
    "Qwen3-Embedding-0.6B": {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 151643, "eos_token_id": 151643, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
        "initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 32768,
        "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000,
        "sliding_window": None, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "transformers_version": "4.51.3", "use_cache": True, "use_sliding_window": False, "vocab_size": 151669,
    },
    "Qwen2.5-1.5B": {
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 1536, "initializer_range": 0.02,
        "intermediate_size": 8960, "max_position_embeddings": 131072, "max_window_layers": 28, "model_type": "qwen2",
        "num_attention_heads": 12, "num_hidden_layers": 28, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 131072, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "transformers_version": "4.40.1", "use_cache": True, "use_mrope": False, "use_sliding_window": False,
        "vocab_size": 151936,
    },
    "data2vec-text-base": {
        "architectures": ["Data2VecTextModel"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
        "classifier_dropout": None, "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
        "mask_token_id": 50264, "max_position_embeddings": 514, "model_type": "data2vec-text",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1, "position_embedding_type": "absolute",
        "tokenizer_class": "RobertaTokenizer", "torch_dtype": "float32", "transformers_version": "4.17.0.dev0",
        "type_vocab_size": 1, "use_cache": True, "vocab_size": 50265,
    },
    "rembert": {
        "attention_probs_dropout_prob": 0, "bos_token_id": 312, "classifier_dropout_prob": 0.1,
        "embedding_dropout_prob": 0, "embedding_size": 256, "eos_token_id": 313, "hidden_act": "gelu",
        "hidden_dropout_prob": 0, "hidden_size": 1152, "initializer_range": 0.02, "input_embedding_size": 256,
        "intermediate_size": 4608, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "rembert",
        "num_attention_heads": 18, "num_hidden_layers": 32, "output_embedding_size": 1664, "pad_token_id": 0,
        "tie_word_embeddings": False, "transformers_version": "4.11.3", "type_vocab_size": 2, "use_cache": True,
        "vocab_size": 250300,
    },
    "roformer_chinese_base": {
        "_name_or_path": "junnyu/roformer_chinese_base", "architectures": ["RoFormerForCausalLM"],
        "attention_probs_dropout_prob": 0.1, "embedding_size": 768, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 1536, "model_type": "roformer", "num_attention_heads": 12,
        "num_hidden_layers": 12, "pad_token_id": 0, "rotary_value": False, "torch_dtype": "float32",
        "transformers_version": "4.39.3", "type_vocab_size": 2, "use_cache": True, "vocab_size": 50000,
    },
    "UFNLP/gatortron-base": {
        "architectures": ["MegatronBertModel"], "attention_probs_dropout_prob": 0.1, "gradient_checkpointing": False,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 1024, "initializer_range": 0.02,
        "intermediate_size": 4096, "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
        "model_type": "megatron-bert", "num_attention_heads": 16, "num_hidden_layers": 24, "pad_token_id": 0,
        "position_embedding_type": "absolute", "tokenizer_type": "BertWordPieceCase", "torch_dtype": "float32",
        "transformers_version": "4.20.0", "type_vocab_size": 2, "use_cache": True, "vocab_size": 50176,
    },
    "andreasmadsen/efficient_mlm_m0.40": {
        "architectures": ["RobertaPreLayerNormForMaskedLM"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
        "classifier_dropout": None, "eos_token_id": 2, "gradient_checkpointing": False, "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1, "hidden_size": 1024, "initializer_range": 0.02, "intermediate_size": 4096,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 514, "model_type": "roberta-prelayernorm",
        "num_attention_heads": 16, "num_hidden_layers": 24, "pad_token_id": 1, "position_embedding_type": "absolute",
        "torch_dtype": "float32", "transformers_version": "4.25.0.dev0", "type_vocab_size": 1, "use_cache": True,
        "vocab_size": 50265,
    },
    "facebook/xlm-roberta-xl": {
        "architectures": ["XLMRobertaXLForMaskedLM"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
        "classifier_dropout": None, "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "hidden_size": 2560, "initializer_range": 0.02, "intermediate_size": 10240, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 514, "model_type": "xlm-roberta-xl", "num_attention_heads": 32,
        "num_hidden_layers": 36, "pad_token_id": 1, "position_embedding_type": "absolute",
        "tokenizer_class": "XLMRobertaTokenizer", "torch_dtype": "float32", "transformers_version": "4.16.0.dev0",
        "type_vocab_size": 1, "use_cache": True, "vocab_size": 250880,
    },
}  # fmt: skip
SMALL = {
    "hidden_size": 32, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 8, "vocab_size": 60,
    "attention_head_size": 4, "pooler_hidden_size": 32,
}  # fmt: skip


@pytest.mark.parametrize("name", ON_THE_HUB)
def test_configurations_of_the_hub_give_no_warning(transformers, tmp_path, name):
    small = {key: SMALL.get(key, value) for key, value in ON_THE_HUB[name].items()}
    AutoModel.from_config(AutoConfig.for_model(**small), seed=0).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(small))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = AutoModel.from_pretrained(tmp_path).config
    theirs = transformers.AutoConfig.from_pretrained(tmp_path)
    expected = {key: value for key, value in theirs.to_diff_dict().items() if key not in ("dtype", "model_type")}
    assert {key: getattr(loaded, key) for key in expected} == {
        **expected,
        "transformers_version": loaded.transformers_version,
    }
