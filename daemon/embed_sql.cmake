# cmake -DOUT=FILE -DDIR=FOLDER -P embed_sql.cmake: schema_*.sql as C arrays.
set(text "/* made from daemon/schema_*.sql by daemon/embed_sql.cmake */\n#include \"daemon/schema.h\"\n")
foreach(name schema_registry schema_job)
    file(READ ${DIR}/${name}.sql hex HEX)
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
    string(REGEX REPLACE "(................................................................................)"
           "\\1\n" bytes "${bytes}")
    string(APPEND text "const char ${name}_sql[] = {\n${bytes}0x00};\n")
endforeach()
file(WRITE ${OUT} "${text}")
