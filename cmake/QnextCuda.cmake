# The CUDA engine: built where nvcc is found (QNEXT_CUDA=AUTO), and then part of the one program. cudart is linked
# statically, and nothing else of CUDA is needed to start: the program runs on machines without GPU or driver.
#
#   QNEXT_CUDA                AUTO, ON (an error without nvcc) or OFF
#   QNEXT_CUDA_ARCHITECTURES  as CMAKE_CUDA_ARCHITECTURES; the default holds machine code for the consumer cards and
#                             Hopper, and PTX for what comes later

#   QNEXT_TEST_DATA_DIR       where the tests that need a GPU look for models/ and tests/golden/ when they run; "." in builds
#                             that are carried to another machine (tools/gpu_tests.sh)

set(QNEXT_TEST_DATA_DIR ${CMAKE_SOURCE_DIR} CACHE STRING "Where GPU tests find their data")
set(QNEXT_CUDA AUTO CACHE STRING "Build the CUDA engine: AUTO, ON or OFF")
set(QNEXT_CUDA_ARCHITECTURES "80-real;86-real;89-real;90-real;120" CACHE STRING "GPU architectures to build for")

set(QNEXT_CUDA_ENABLED OFF)
if(NOT QNEXT_CUDA STREQUAL "OFF" AND NOT QNEXT_SANITIZE)
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_COMPILER AND EXISTS /usr/local/cuda/bin/nvcc)
    set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)
  endif()
  if(QNEXT_CUDA STREQUAL "AUTO")
    check_language(CUDA)
  endif()
  if(CMAKE_CUDA_COMPILER OR QNEXT_CUDA STREQUAL "ON")
    set(CMAKE_CUDA_ARCHITECTURES ${QNEXT_CUDA_ARCHITECTURES})
    enable_language(CUDA)
    find_package(CUDAToolkit REQUIRED)
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
    # CMake 3.25 does not know CUDA 13 well enough to say this itself.
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA_STANDARD 20)
    set(QNEXT_CUDA_ENABLED ON)
  endif()
endif()
message(STATUS "CUDA engine: ${QNEXT_CUDA_ENABLED} ${CMAKE_CUDA_ARCHITECTURES}")

add_library(qnext_cuda_flags INTERFACE)
target_compile_options(qnext_cuda_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra,-Wno-missing-field-initializers -Wreorder
  $<$<BOOL:${QNEXT_WERROR}>:-Werror=all-warnings>>)

# qnext_cuda_library(<room> SOURCES <files> [DEPS <libraries without qnext_>] [LIBS <targets>]): the CUDA half of a room,
# src/<room>/cuda, as library qnext_<room>_cuda. Its headers are found as "<room>/cuda/....h" by whoever may see the room;
# only these libraries see CUDA's own headers.
function(qnext_cuda_library room)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_library(qnext_${room}_cuda STATIC ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPS PREPEND qnext_ OUTPUT_VARIABLE deps)
  target_include_directories(qnext_${room}_cuda PUBLIC ${QNEXT_INCLUDE_ROOT}/${room})
  target_link_libraries(qnext_${room}_cuda PUBLIC ${deps} ${ARG_LIBS} PRIVATE qnext_flags_host qnext_cuda_flags CUDA::cudart_static)
endfunction()

# qnext_cuda_test(<room> SOURCES <files> [DEPS <libraries without qnext_>]): <room>_cuda_test. Without a GPU every case is
# skipped, and counted as such.
function(qnext_cuda_test room)
  if(NOT QNEXT_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  list(TRANSFORM ARG_DEPS PREPEND qnext_ OUTPUT_VARIABLE deps)
  add_executable(${room}_cuda_test ${ARG_SOURCES})
  target_link_libraries(${room}_cuda_test PRIVATE ${deps} ${ARG_LIBS} qnext_test_support qnext_flags_host qnext_cuda_flags
    CUDA::cudart_static GTest::gtest_main)
  target_compile_definitions(${room}_cuda_test PRIVATE QNEXT_SOURCE_DIR="${QNEXT_TEST_DATA_DIR}")
  qnext_test_optimisation(${room}_cuda_test ${room})
  add_test(NAME ${room}_cuda COMMAND ${room}_cuda_test)
  set_tests_properties(${room}_cuda PROPERTIES LABELS gpu)
endfunction()
