#pragma once

#define FILBERT_API __attribute__((visibility("default")))
