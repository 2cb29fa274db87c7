# The program in the kernel that tells of drops. Needs clang (for the kernel's machine) and libbpf's headers; libbpf itself is
# opened at run time. Without them the agent is built all the same and says that it cannot name drops.
set(BOTHWAYS_BPF AUTO CACHE STRING "kernel drop reasons: AUTO (when clang and libbpf >= 1.0 are there), ON or OFF")

set(bothways_bpf_object "")
if(NOT BOTHWAYS_BPF STREQUAL "OFF")
  pkg_check_modules(libbpf QUIET libbpf>=1.0)
  find_program(BOTHWAYS_CLANG NAMES clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14)
  find_program(BOTHWAYS_LLVM_STRIP NAMES llvm-strip llvm-strip-19 llvm-strip-18 llvm-strip-17 llvm-strip-16 llvm-strip-15 llvm-strip-14)
  set(bothways_bpf_missing "")
  if(NOT libbpf_FOUND)
    set(bothways_bpf_missing "libbpf >= 1.0")
  elseif(NOT BOTHWAYS_CLANG)
    set(bothways_bpf_missing "clang")
  else()
    file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/try.bpf.c "int nothing(void) { return 0; }\n")
    execute_process(COMMAND ${BOTHWAYS_CLANG} -target bpf -O2 -c try.bpf.c -o try.bpf.o
                    WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR} RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
    if(failed)
      set(bothways_bpf_missing "a clang that compiles for bpf")
    endif()
  endif()
  if(bothways_bpf_missing AND BOTHWAYS_BPF STREQUAL "ON")
    message(FATAL_ERROR "BOTHWAYS_BPF=ON: ${bothways_bpf_missing} is missing")
  elseif(bothways_bpf_missing)
    message(STATUS "kernel drop reasons: no, ${bothways_bpf_missing} is missing")
  else()
    set(bothways_bpf_object ${CMAKE_CURRENT_BINARY_DIR}/drops.bpf.o)
  endif()
endif()

if(bothways_bpf_object)
  list(TRANSFORM libbpf_INCLUDE_DIRS PREPEND -I OUTPUT_VARIABLE bothways_bpf_includes)
  set(bothways_bpf_strip "")
  if(BOTHWAYS_LLVM_STRIP)
    set(bothways_bpf_strip COMMAND ${BOTHWAYS_LLVM_STRIP} -g ${bothways_bpf_object}) # its type information stays
  endif()
  add_custom_command(OUTPUT ${bothways_bpf_object}
    COMMAND ${BOTHWAYS_CLANG} -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -I${CMAKE_SOURCE_DIR} ${bothways_bpf_includes}
            -c ${CMAKE_CURRENT_SOURCE_DIR}/drops.bpf.c -o ${bothways_bpf_object}
    ${bothways_bpf_strip}
    DEPENDS drops.bpf.c drops_event.h VERBATIM)
  set_source_files_properties(drops_bpf.c PROPERTIES
    COMPILE_DEFINITIONS DROPS_OBJECT="${bothways_bpf_object}" OBJECT_DEPENDS ${bothways_bpf_object}
    INCLUDE_DIRECTORIES "${libbpf_INCLUDE_DIRS}")
endif()
