// What a checkpoint is used for.
#pragma once

namespace filbert {

enum class Task {
  encoder,                  // hidden states alone
  model,                    // the base model: hidden states, and what its family computes from the first token, if any
  sequence_classification,  // logits of a whole text
  token_classification,     // logits of each token
  question_answering,       // of each token, the logits that an answer begins and that it ends there
  masked_lm,                // of each token, logits of what stands there, over the vocabulary
  next_token                // of a whole text, logits of the tokens that the setting next_token_ids lists to follow it
};

}  // namespace filbert
