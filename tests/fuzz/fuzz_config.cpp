// config.json: accepted, or ConfigError.
#include <filbert/config.h>
#include <filbert/error.h>
#include <filbert/weights.h>

#include "fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string text(fuzz_text(data, size));
    filbert::validate_config(text, "fuzz", "bert");
    filbert::tensor_specs(text, filbert::Task::sequence_classification);
  } catch (const filbert::ConfigError&) {
  }
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  return {
      R"({"model_type":"bert"})",
      R"({"hidden_size":32,"num_attention_heads":4,"layer_norm_eps":NaN,"extra":[Infinity,"\ud800"]})",
      R"({"architectures":["BertModel"],"attention_probs_dropout_prob":0.1,"classifier_dropout":null,"hidden_act":"gelu",)"
      R"("hidden_dropout_prob":0.1,"hidden_size":384,"initializer_range":0.02,"intermediate_size":1536,)"
      R"("layer_norm_eps":1e-12,"max_position_embeddings":512,"model_type":"bert","num_attention_heads":12,)"
      R"("num_hidden_layers":6,"pad_token_id":0,"position_embedding_type":"absolute","type_vocab_size":2,)"
      R"("use_cache":true,"vocab_size":30522,"is_decoder":false,"add_cross_attention":false,"id2label":{"0":"A"}})",
      R"({"model_type":"mpnet","max_position_embeddings":514,"relative_attention_num_buckets":32})",
      R"({"model_type":"deberta","relative_attention":true,"pos_att_type":"c2p|p2c","max_relative_positions":-1,)"
      R"("position_biased_input":false,"embedding_size":64,"talking_head":false,"type_vocab_size":0})",
      R"({"model_type":"modernbert","num_hidden_layers":2,"layer_types":["full_attention","sliding_attention"],)"
      R"("local_attention":128,"local_rope_theta":null,"norm_bias":false,"rope_parameters":{"full_attention":)"
      R"({"rope_theta":160000.0,"rope_type":"default"},"sliding_attention":{"rope_theta":10000.0}}})",
      R"({"model_type":"qwen3","head_dim":128,"num_key_value_heads":8,"rope_scaling":null,"rope_theta":1000000,)"
      R"("sliding_window":4096,"use_sliding_window":true,"max_window_layers":28,"is_causal":true})",
      R"({"model_type":"llama","rope_theta":500000.0,"rope_scaling":{"rope_type":"llama3","factor":8.0,)"
      R"("low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192}})",
      R"({"model_type":"mistral","rope_parameters":{"rope_type":"yarn","factor":4.0,"beta_fast":32,"truncate":false,)"
      R"("mscale":1.0,"mscale_all_dim":0.7,"attention_factor":null}})",
      R"({"model_type":"ultrabert","num_hidden_layers":3,"attention_windows":[128,128,null],"prediction_head_size":768,)"
      R"("rope_theta":[10000.0,10000.0,2560000.0],"sliding_window":128,"classifier_pooling":"mean"})",
      R"({"model_type":"rembert","input_embedding_size":256,"output_embedding_size":1664,"tie_word_embeddings":false})",
      R"({"model_type":"roformer","embedding_size":384,"rotary_value":true,"norm_type":"layer_norm","use_bias":true})",
      R"({"model_type":"esm","vocab_size":33,"hidden_size":320,"num_attention_heads":20,"pad_token_id":1,"mask_token_id":32,)"
      R"("position_embedding_type":"rotary","token_dropout":true,"emb_layer_norm_before":null,"esmfold_config":null})",
      R"({"model_type":"xlm-roberta-xl","pad_token_id":1,"max_position_embeddings":514,"type_vocab_size":1})",
  };
}
