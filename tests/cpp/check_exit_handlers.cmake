# Fails if an object of the library has something destroyed when the process ends: its threads may still be running.
list(FILTER OBJECTS INCLUDE REGEX "\\.o$")  # no precompiled header
if(NOT OBJECTS)
  message(FATAL_ERROR "there are no objects to check")
endif()
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND ${NM} --undefined-only ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  if(symbols MATCHES "__(cxa|aeabi)_atexit")
    message(FATAL_ERROR "${object} has static objects with destructors")
  endif()
endforeach()
