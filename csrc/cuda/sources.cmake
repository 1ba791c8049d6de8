# Of the plug-in, and of its double in tests/cuda_on_cpu.
set(cuda_sources
  ${CMAKE_CURRENT_LIST_DIR}/attention.cu
  ${CMAKE_CURRENT_LIST_DIR}/attention_f32.cu
  ${CMAKE_CURRENT_LIST_DIR}/attention_probabilities.cu
  ${CMAKE_CURRENT_LIST_DIR}/backend.cu
  ${CMAKE_CURRENT_LIST_DIR}/convert.cu
  ${CMAKE_CURRENT_LIST_DIR}/device.cu
  ${CMAKE_CURRENT_LIST_DIR}/embed_norm.cu
  ${CMAKE_CURRENT_LIST_DIR}/entry.cu
  ${CMAKE_CURRENT_LIST_DIR}/gemm.cu
  ${CMAKE_CURRENT_LIST_DIR}/gemm_f32.cu
  ${CMAKE_CURRENT_LIST_DIR}/norm.cu
  ${CMAKE_CURRENT_LIST_DIR}/pool.cu
  ${CMAKE_CURRENT_LIST_DIR}/readback.cu
  ${CMAKE_CURRENT_LIST_DIR}/scatter.cu
  ${CMAKE_CURRENT_LIST_DIR}/weight.cu)
