# Every outside library, found once and named as an imported target. The Debian
# packages are listed in tools/deps; keep the two in step.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
foreach(dep
        zmq:libzmq>=4.3 protobufc:libprotobuf-c>=1.4 yaml:yaml-0.1
        sqlite:sqlite3>=3.40 jansson:jansson>=2.14 zstd:libzstd zlib:zlib
        sodium:libsodium xxhash:libxxhash pcre2:libpcre2-8 utf8proc:libutf8proc
        systemd:libsystemd microhttpd:libmicrohttpd>=0.9.75)
    string(REGEX MATCH "^([^:]+):(.*)$" _ ${dep})
    string(TOUPPER ${CMAKE_MATCH_1} var)
    pkg_check_modules(${var} REQUIRED IMPORTED_TARGET GLOBAL ${CMAKE_MATCH_2})
endforeach()
find_program(PROTOC_C protoc-c REQUIRED)

# The CUDA toolkit is found, never required.
set(SKEIN_HAVE_CUDA OFF)
if(NOT SKEIN_CUDA STREQUAL "off")
    find_package(CUDAToolkit QUIET)
    if(CUDAToolkit_FOUND AND CUDAToolkit_NVCC_EXECUTABLE
       AND TARGET CUDA::cublasLt
       AND CUDAToolkit_VERSION VERSION_GREATER_EQUAL 12.0)
        if(SKEIN_CUDA STREQUAL "on" OR EXISTS /proc/driver/nvidia/version)
            set(SKEIN_HAVE_CUDA ON)
        endif()
    elseif(SKEIN_CUDA STREQUAL "on")
        message(FATAL_ERROR "SKEIN_CUDA=on, but no CUDA toolkit (>= 12.0, with cublasLt) was found")
    endif()
endif()
# Its header, that is: the library is looked for when a worker starts.
if(CUDAToolkit_FOUND)
    find_path(SKEIN_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
endif()
message(STATUS "CUDA engine: ${SKEIN_HAVE_CUDA} (SKEIN_CUDA=${SKEIN_CUDA})")
