# Compiler settings shared by every target, as the INTERFACE target
# skein_options, and the two functions folders use to declare what they build.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON) # POSIX and Linux interfaces: _GNU_SOURCE
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")

add_library(skein_options INTERFACE)
target_include_directories(skein_options INTERFACE ${PROJECT_SOURCE_DIR}
                                                   ${PROJECT_BINARY_DIR})
target_compile_definitions(skein_options INTERFACE _GNU_SOURCE
    SKEIN_VERSION="${PROJECT_VERSION}")
# -ffp-contract=off: a*b+c is two roundings unless the code writes fmaf(); the
# compiler may not choose, or the bits would depend on it (DESIGN, numerics).
target_compile_options(skein_options INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Werror -ffp-contract=off -fno-common
    -fstack-protector-strong)
if(SKEIN_SANITIZE)
    target_compile_options(skein_options INTERFACE
        -fsanitize=${SKEIN_SANITIZE} -fno-omit-frame-pointer -O1)
    target_link_options(skein_options INTERFACE -fsanitize=${SKEIN_SANITIZE})
    if(SKEIN_SANITIZE MATCHES undefined)
        target_compile_options(skein_options INTERFACE
            -fno-sanitize-recover=undefined)
    endif()
else()
    target_compile_definitions(skein_options INTERFACE
        $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
endif()
if(SKEIN_COVERAGE)
    target_compile_options(skein_options INTERFACE
        -fprofile-instr-generate -fcoverage-mapping)
    target_link_options(skein_options INTERFACE -fprofile-instr-generate)
endif()
if(SKEIN_FUZZ)
    target_compile_options(skein_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# skein_library(NAME SOURCES... LINK libs...): the static library of a folder.
function(skein_library name)
    cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
    add_library(${name} STATIC ${A_SOURCES})
    target_link_libraries(${name} PUBLIC skein_options ${A_LINK})
endfunction()

# skein_program(NAME SOURCES... LINK libs...): a program in build/bin, installed.
function(skein_program name)
    cmake_parse_arguments(A "" "" "SOURCES;LINK" ${ARGN})
    add_executable(${name} ${A_SOURCES})
    target_link_libraries(${name} PRIVATE skein_options ${A_LINK})
    install(TARGETS ${name} RUNTIME DESTINATION bin)
endfunction()

# skein_embed(OUT HEADER FILES...): text files of this folder as strings in the C
# file OUT, which includes HEADER; cmake/embed.cmake says how they are named.
function(skein_embed out header)
    list(TRANSFORM ARGN PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    list(JOIN ARGN "|" files)
    set(script ${PROJECT_SOURCE_DIR}/cmake/embed.cmake)
    add_custom_command(
        OUTPUT ${out}
        COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DHEADER=${header}
                "-DFILES=${files}" -P ${script}
        DEPENDS ${ARGN} ${script}
        VERBATIM)
endfunction()
