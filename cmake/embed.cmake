# cmake -DOUT=FILE -DHEADER=NAME.h -DFILES=a.sql|b.sql -P embed.cmake: text files
# as C strings. dir/schema_job.sql becomes schema_job_sql; HEADER declares them.
string(REPLACE "|" ";" FILES "${FILES}")
set(text "/* made by cmake/embed.cmake */\n#include \"${HEADER}\"\n")
foreach(file IN LISTS FILES)
    get_filename_component(name ${file} NAME)
    string(REGEX REPLACE "[^A-Za-z0-9]" "_" name ${name})
    file(READ ${file} hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(................................................................................)"
           "\\1\n" bytes "${bytes}")
    string(APPEND text "const char ${name}[] = {\n${bytes}0x00};\n")
endforeach()
file(WRITE ${OUT} "${text}")
