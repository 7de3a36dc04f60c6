# Writes OUT, a header that names the commit of SOURCE, when it has changed.
# cmake -DSOURCE=DIR -DOUT=FILE -P SkeinCommit.cmake
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12
                        --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE
                ERROR_QUIET)
if(NOT commit)
    set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define SKEIN_COMMIT \"${commit}\"\n")
