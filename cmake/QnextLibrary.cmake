# One library per folder of src/. A library sees the headers of its own folder and of the folders it names in DEPS (and
# theirs), and no others: each gets an include root that holds nothing but a link to its own folder, so an include in a
# direction that the house does not have is a compile error.

add_library(qnext_flags INTERFACE)
target_compile_options(qnext_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-qual -Woverloaded-virtual -Wno-missing-field-initializers
  -fno-math-errno -fno-omit-frame-pointer)
# GCC 12 sees overlapping copies in std::string concatenations where there are none (its bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(qnext_flags INTERFACE -Wno-restrict)
endif()
if(QNEXT_WERROR)
  target_compile_options(qnext_flags INTERFACE -Werror)
endif()
if(QNEXT_SANITIZE)
  # Without the check for null pointers, which stands before every access: the address sanitizer ends the program at one, too,
  # and a large file takes a tenth less to compile.
  target_compile_options(qnext_flags INTERFACE -fsanitize=${QNEXT_SANITIZE} -fno-sanitize-recover=all -fno-sanitize=null
    $<$<BOOL:$<TARGET_PROPERTY:QNEXT_TEST_CODE>>:-fno-sanitize=undefined>)
  target_link_options(qnext_flags INTERFACE -fsanitize=${QNEXT_SANITIZE})
endif()

# The same flags for the C++ files of libraries that also hold CUDA files; nvcc does not know them.
add_library(qnext_flags_host INTERFACE)
get_target_property(host_options qnext_flags INTERFACE_COMPILE_OPTIONS)
target_compile_options(qnext_flags_host INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${host_options}>")

# Most of the build's time is the optimiser's. Full optimisation pays in the rooms that compute (quant and kernels, Release's
# own -O3), and nowhere in the tests' own code; measured on the rest: -O3 takes half as long again as -O2, and nothing runs faster.
set(QNEXT_COMPUTE_ROOMS quant kernels)
# Under sanitizers these are not optimised at all: their large files compile in 25 to 46% less CPU time (bench 53 s to 29, plan
# 17 to 9; one measurement on a busy machine). What that costs their own tests is not measured. It is for text: 33 s of
# compiling saved, 66 s of testing added; for server the two are about equal, 11 s and 10.
set(QNEXT_COLD_ROOMS config plan bench cli)

# qnext_unity(<target> <TESTS|ALL> [files]): compiles the target's files together, sixteen at a time, where QNEXT_UNITY asks
# for that: TESTS for test programs, ALL for rooms too. What the many files of a room make of the same headers (CLI11, Asio,
# nlohmann/json) is then made once, which precompiled headers do not save: the program without CUDA takes 222 CPU seconds instead of
# some 525 (Release). A file whose names in anonymous namespaces clash with another's is named in APART, and compiled by itself.
# Only a build that compiles every file by itself proves that each includes what it uses: tools/gpu_tests.sh, the debug preset and
# clang-tidy (./test.sh --full) do.
function(qnext_unity target least)
  if(QNEXT_UNITY STREQUAL "ALL" OR QNEXT_UNITY STREQUAL least)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 16)
    set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
    if(least STREQUAL "ALL")
      # To GCC a unity's sources are headers, in which it asks for no anonymous types.
      target_compile_options(${target} PRIVATE -Wno-subobject-linkage)
    endif()
  endif()
endfunction()

set(QNEXT_INCLUDE_ROOT ${CMAKE_BINARY_DIR}/include)

# qnext_library(<folder> SOURCES <files> [DEPS <folders>] [LIBS <targets>] [APART <files>])
function(qnext_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS;APART" ${ARGN})
  set(root ${QNEXT_INCLUDE_ROOT}/${name})
  file(MAKE_DIRECTORY ${root})
  if(NOT EXISTS ${root}/${name})
    file(CREATE_LINK ${CMAKE_SOURCE_DIR}/src/${name} ${root}/${name} SYMBOLIC)
  endif()
  add_library(qnext_${name} STATIC ${ARG_SOURCES})
  target_include_directories(qnext_${name} PUBLIC ${root})
  list(TRANSFORM ARG_DEPS PREPEND qnext_ OUTPUT_VARIABLE deps)
  target_link_libraries(qnext_${name} PUBLIC ${deps} PRIVATE qnext_flags PUBLIC ${ARG_LIBS})
  qnext_unity(qnext_${name} ALL ${ARG_APART})
  if(NOT name IN_LIST QNEXT_COMPUTE_ROOMS)
    target_compile_options(qnext_${name} PRIVATE $<$<CONFIG:Release>:-O2>)
    if(QNEXT_SANITIZE AND name IN_LIST QNEXT_COLD_ROOMS)
      target_compile_options(qnext_${name} PRIVATE -O0)
    endif()
  elseif(NOT QNEXT_SANITIZE)
    # Large buffers come from the caller: a thread's stack may be small.
    target_compile_options(qnext_${name} PRIVATE $<$<CONFIG:Release>:-Wframe-larger-than=16384>)
  endif()
endfunction()

# qnext_test_optimisation(<target> <room>): tests compute next to nothing, those of the compute rooms their references. Their own
# code is watched for wrong addresses, not for undefined arithmetic: that would be a third of the time in which it compiles.
function(qnext_test_optimisation target room)
  if(room IN_LIST QNEXT_COMPUTE_ROOMS)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O1>)
  else()
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-O0>)
  endif()
  set_target_properties(${target} PROPERTIES QNEXT_TEST_CODE ON)
endfunction()

# qnext_not_sanitized(<target>): a program that no test runs under sanitizers; `all` does not build it there.
function(qnext_not_sanitized target)
  if(QNEXT_SANITIZE)
    set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endfunction()

set(QNEXT_LONG_TESTS model checkpoint kernels text cli server engine)

# qnext_test(<folder> SOURCES <files> [DEPS <folders>] [APART <files>]): one test program per folder, its cases registered one by one.
function(qnext_test name)
  if(NOT QNEXT_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS;LABELS;APART" ${ARGN})
  list(TRANSFORM ARG_DEPS PREPEND qnext_ OUTPUT_VARIABLE deps)
  add_executable(${name}_test ${ARG_SOURCES})
  target_link_libraries(${name}_test PRIVATE ${deps} ${ARG_LIBS} qnext_test_support qnext_flags GTest::gtest_main)
  target_compile_definitions(${name}_test PRIVATE QNEXT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  qnext_unity(${name}_test TESTS ${ARG_APART})
  qnext_test_optimisation(${name}_test ${name})
  add_test(NAME ${name} COMMAND ${name}_test)
  # The long ones first, or one core waits for the last of them: seconds under sanitizers.
  list(FIND QNEXT_LONG_TESTS ${name} long)
  if(NOT long EQUAL -1)
    math(EXPR cost "100 - 10 * ${long}")
    set_tests_properties(${name} PROPERTIES COST ${cost})
  endif()
  if(ARG_LABELS)
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}")
  endif()
endfunction()
