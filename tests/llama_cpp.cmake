# What makes a build of llama.cpp for the tests short: its library alone, several sources in one translation unit.
set(LLAMA_BUILD_COMMON OFF)
set(CMAKE_UNITY_BUILD ON)
set(CMAKE_UNITY_BUILD_BATCH_SIZE 12)
set(CMAKE_C_FLAGS_RELEASE -O1)
set(CMAKE_CXX_FLAGS_RELEASE -O1)
