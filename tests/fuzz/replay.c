/* replay: stands in for libFuzzer where it is not wanted: runs every file of the given directories (or single files)
 * through the target once. A crash or a sanitizer report is the failure. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_BYTES_MAX (4 << 20)

static int file_run(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	size_t len;

	if (!f) {
		perror(path);
		return -1;
	}
	data = malloc(FILE_BYTES_MAX);
	len = data ? fread(data, 1, FILE_BYTES_MAX, f) : 0;
	fclose(f);
	/* an exact copy: reading one byte too far shows under the sanitizer */
	if (data && (data = realloc(data, len ? len : 1)))
		LLVMFuzzerTestOneInput(data, len);
	free(data);
	return 0;
}

static int path_run(const char *path, unsigned *count)
{
	struct dirent *entry;
	char inner[4096];
	int result = 0;
	DIR *dir = opendir(path);

	if (!dir) {
		(*count)++;
		return file_run(path);
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
		result |= path_run(inner, count);
	}
	closedir(dir);
	return result;
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	int result = 0;

	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		result |= path_run(argv[i], &count);
	printf("%u inputs\n", count);
	return result || count == 0 ? 1 : 0;
}
