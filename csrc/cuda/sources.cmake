# The sources of the plug-in, and of its double in tests/cuda_on_cpu: a kernel is a file, and no line elsewhere.
file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.cu)
