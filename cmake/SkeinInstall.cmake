# What `cmake --install` puts beside the programs. A part that is not in the
# tree (an unpacked subset) is left out rather than an error.
include(GNUInstallDirs)

# Commented configuration files are documentation: copy them to /etc/skein.
file(GLOB conf_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/conf/*.yaml)
install(FILES ${conf_files} DESTINATION ${CMAKE_INSTALL_DOCDIR}/conf)
install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/LICENSE
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
file(GLOB doc_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/*.md)
install(FILES ${doc_files} DESTINATION ${CMAKE_INSTALL_DOCDIR})
file(GLOB schema_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/schema/*.json)
install(FILES ${schema_files} DESTINATION ${CMAKE_INSTALL_DOCDIR}/schema)

# Man pages, from scdoc; man/manual.c puts the option tables in.
add_executable(skein_manual
    ${PROJECT_SOURCE_DIR}/man/manual.c
    ${PROJECT_SOURCE_DIR}/daemon/usage.c
    ${PROJECT_SOURCE_DIR}/model/tool_table.c
    ${PROJECT_SOURCE_DIR}/worker/usage.c)
target_link_libraries(skein_manual PRIVATE skein_options skein_client)
set_target_properties(skein_manual PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/man)
find_program(SCDOC scdoc)
if(SCDOC)
    set(man_pages)
    foreach(page skein.1 skein-model.1 skein-batch.5 skein.yaml.5 skeind.8 skein-worker.8)
        string(REGEX MATCH "[0-9]$" section ${page})
        set(source ${PROJECT_SOURCE_DIR}/man/${page}.scd)
        set(built ${PROJECT_BINARY_DIR}/man/${page})
        add_custom_command(
            OUTPUT ${built}
            COMMAND ${CMAKE_COMMAND} -E make_directory
                    ${PROJECT_BINARY_DIR}/man
            COMMAND sh -c "\"$1\" <\"$2\" >\"$3.scd\" && \"$4\" <\"$3.scd\" >\"$3\""
                    man $<TARGET_FILE:skein_manual> ${source} ${built} ${SCDOC}
            DEPENDS ${source} skein_manual
            VERBATIM)
        list(APPEND man_pages ${built})
        install(FILES ${built} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
    endforeach()
    add_custom_target(man ALL DEPENDS ${man_pages})
else()
    message(STATUS "scdoc was not found: no man pages")
endif()

# Completion scripts, where Debian's shells look for them.
foreach(script bash:bash-completion/completions/skein
        zsh:zsh/vendor-completions/_skein
        fish:fish/vendor_completions.d/skein.fish)
    string(REGEX MATCH "^([^:]+):(.*)$" _ ${script})
    set(built ${PROJECT_BINARY_DIR}/completion/${CMAKE_MATCH_2})
    cmake_path(GET CMAKE_MATCH_2 PARENT_PATH place)
    add_custom_command(
        OUTPUT ${built}
        COMMAND ${CMAKE_COMMAND} -E make_directory
                ${PROJECT_BINARY_DIR}/completion/${place}
        COMMAND sh -c "\"$1\" completion $2 >\"$3\"" completion
                $<TARGET_FILE:skein> ${CMAKE_MATCH_1} ${built}
        DEPENDS skein
        VERBATIM)
    list(APPEND completion_scripts ${built})
    install(FILES ${built} DESTINATION ${CMAKE_INSTALL_DATADIR}/${place})
endforeach()
add_custom_target(completion ALL DEPENDS ${completion_scripts})

# systemd. The units in the tree name /usr/bin; what is installed names the
# prefix it is installed with. These folders are where systemd looks below /usr
# and /usr/local.
foreach(unit skeind.service skein-worker.service skein-worker@.service)
    set(source ${PROJECT_SOURCE_DIR}/systemd/${unit})
    if(EXISTS ${source})
        install(CODE "
            file(READ \"${source}\" text)
            string(REPLACE /usr/bin/
                \"\${CMAKE_INSTALL_PREFIX}/bin/\" text \"\${text}\")
            file(WRITE \"${PROJECT_BINARY_DIR}/systemd/${unit}\" \"\${text}\")")
        install(FILES ${PROJECT_BINARY_DIR}/systemd/${unit}
                DESTINATION lib/systemd/system)
    endif()
endforeach()
foreach(kind sysusers tmpfiles)
    set(source ${PROJECT_SOURCE_DIR}/systemd/skein.${kind})
    if(EXISTS ${source})
        install(FILES ${source} DESTINATION lib/${kind}.d RENAME skein.conf)
    endif()
endforeach()
