// What a checkpoint is used for.
#pragma once

namespace filbert {

enum class Task {
  encoder,  // hidden states alone
  model,    // the base model: hidden states, and what its family computes from the first token, if anything
  sequence_classification  // logits of a whole text
};

}  // namespace filbert
