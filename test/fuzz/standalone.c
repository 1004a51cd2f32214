/*
 * test/fuzz/standalone.c: runs a fuzz target without libFuzzer, so that any compiler, and CI under sanitizers, can.
 *
 * A target is LLVMFuzzerTestOneInput in a file fuzz_NAME.c. It is given every file of test/fuzz/corpus/fuzz_NAME (once
 * found, never again), the empty input, and a fixed number of mutations of them from a fixed seed: the same inputs in
 * every run. What a target must not do is end the process; a sanitizer makes that of any wrong access. Prints TAP.
 *
 * Memory: each input lies in a block of exactly its size, so that a read beyond its end is seen.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_INPUT_BYTES ((size_t) 1 << 20)
#define MAX_SEEDS 4096
#define MUTATIONS 20000
#define MAX_MUTANT 4096

typedef struct input
{
	uint8_t *data;
	size_t size;
} input;

static input seeds[MAX_SEEDS];
static size_t nseeds;
static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

/* xorshift64* (Vigna 2016): any cheap generator does, the inputs only have to repeat. */
static uint64_t
draw(uint64_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return ((state * UINT64_C(0x2545f4914f6cdd1d)) >> 11) % below;
}

static void
give(const uint8_t *data, size_t size)
{
	uint8_t *exact = malloc(size > 0 ? size : 1);

	if (exact == NULL)
		exit(2);
	if (size > 0)
		memcpy(exact, data, size);
	(void) LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

static void
load(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL && nseeds < MAX_SEEDS)
	{
		char path[4096];
		FILE *f;
		uint8_t *bytes;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		f = fopen(path, "rb");
		bytes = malloc(MAX_INPUT_BYTES);
		if (f == NULL || bytes == NULL)
		{
			printf("Bail out! cannot read %s\n", path);
			exit(2);
		}
		seeds[nseeds].size = fread(bytes, 1, MAX_INPUT_BYTES, f);
		seeds[nseeds].data = bytes;
		nseeds++;
		fclose(f);
	}
	if (d != NULL)
		closedir(d);
}

static int
by_content(const void *a, const void *b)
{
	const input *x = a;
	const input *y = b;
	int order = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);

	return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

/* One to eight small changes to a seed: bits, bytes, lengths that lie, a cut, a doubled piece. */
static size_t
mutate(uint8_t *out, const input *seed)
{
	size_t size = seed->size < MAX_MUTANT / 2 ? seed->size : MAX_MUTANT / 2;
	uint64_t changes = 1 + draw(8);

	if (size > 0)
		memcpy(out, seed->data, size);
	while (changes-- > 0)
	{
		size_t at = size > 0 ? (size_t) draw(size) : 0;

		switch (size > 0 ? draw(6) : 5)
		{
			case 0:
				out[at] ^= (uint8_t) (1u << draw(8));
				break;
			case 1:
				out[at] = (uint8_t) draw(256);
				break;
			case 2:
				memset(out + at, draw(2) != 0 ? 0xff : 0, size - at < 4 ? size - at : 4);
				break;
			case 3:
				size = at;
				break;
			case 4:
			{
				size_t n = (size_t) draw(size - at) + 1;

				if (size + n <= MAX_MUTANT)
				{
					memmove(out + at + n, out + at, size - at);
					size += n;
				}
				break;
			}
			default:
				if (size < MAX_MUTANT)
					out[size++] = (uint8_t) draw(256);
		}
	}
	return size;
}

int
main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/');
	char dir[2048];
	uint8_t mutant[MAX_MUTANT];

	snprintf(dir, sizeof(dir), "test/fuzz/corpus/%s", name != NULL ? name + 1 : argv[0]);
	load(argc > 1 ? argv[1] : dir);
	qsort(seeds, nseeds, sizeof(input), by_content); /* a folder has no order of its own */

	give(NULL, 0);
	for (size_t i = 0; i < nseeds; i++)
		give(seeds[i].data, seeds[i].size);
	printf("ok 1 - the empty input and %zu of the corpus\n", nseeds);
	fflush(stdout);

	for (int i = 0; i < MUTATIONS; i++)
	{
		static const input nothing;
		size_t size = mutate(mutant, nseeds > 0 ? &seeds[draw(nseeds)] : &nothing);

		give(mutant, size);
	}
	printf("ok 2 - %d mutations\n1..2\n", MUTATIONS);
	for (size_t i = 0; i < nseeds; i++)
		free(seeds[i].data);
	return 0;
}
