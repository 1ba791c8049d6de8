// Umbrella header: BERT-family encoders from Hugging Face model folders.
#pragma once

#include <filbert/batch.h>
#include <filbert/config.h>
#include <filbert/device.h>
#include <filbert/error.h>
#include <filbert/maxsim.h>
#include <filbert/model.h>
#include <filbert/task.h>
#include <filbert/version.h>
#include <filbert/weights.h>
