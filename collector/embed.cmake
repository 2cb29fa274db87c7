# Turns a file into a C array: const unsigned char NAME[]; const unsigned NAME_len;
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
file(WRITE ${OUT} "extern const unsigned char ${NAME}[];\nextern const unsigned ${NAME}_len;\nconst unsigned char ${NAME}[] = {${bytes}0};\nconst unsigned ${NAME}_len = sizeof ${NAME} - 1;\n")
