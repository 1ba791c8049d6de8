#pragma once

#if defined(FILBERT_STATIC)
#define FILBERT_API
#else
#define FILBERT_API __attribute__((visibility("default")))
#endif
