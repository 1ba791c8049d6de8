// Embeds token ids with a model folder, without Python:  embed FOLDER ID ID ... [, ID ...]
// Each comma starts another text. Prints the cosine similarity of every text to the first.
#include <filbert/filbert.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s FOLDER ID ID ... [, ID ...]\n", argv[0]);
    return 1;
  }
  std::vector<std::int64_t> ids, cu_seqlens = {0};
  for (int i = 2; i < argc; ++i) {
    if (std::strcmp(argv[i], ",") == 0)
      cu_seqlens.push_back(static_cast<std::int64_t>(ids.size()));
    else
      ids.push_back(std::strtoll(argv[i], nullptr, 10));
  }
  cu_seqlens.push_back(static_cast<std::int64_t>(ids.size()));

  try {
    const filbert::Model model = filbert::Model::load(argv[1]);
    const filbert::ModelInfo& info = model.info();
    std::printf("%s: %zu layers, hidden size %zu, %s %s, %d threads\n", info.model_type.c_str(), info.layers,
                info.hidden_size, info.device.c_str(), info.isa.c_str(), info.threads);

    filbert::TokenBatch batch;
    batch.ids = ids.data();
    batch.cu_seqlens = cu_seqlens.data();
    batch.sequences = cu_seqlens.size() - 1;
    std::vector<float> vectors(batch.sequences * info.hidden_size);
    model.embed(batch, filbert::Pooling::mean, /*normalize=*/true, vectors.data());

    for (std::size_t text = 0; text < batch.sequences; ++text) {
      float cosine = 0;
      for (std::size_t j = 0; j < info.hidden_size; ++j) cosine += vectors[j] * vectors[text * info.hidden_size + j];
      std::printf("text %zu: %.4f\n", text, static_cast<double>(cosine));
    }
  } catch (const filbert::Error& error) {
    std::fprintf(stderr, "embed: %s\n", error.what());
    return 2;
  }
}
