/* Which edges of the core an input reaches: what gcc's -fsanitize-coverage=trace-pc calls at each basic block, and what the
   fuzzer asks after each input. Compiled without instrumentation of its own. */

#include <stdint.h>
#include <string.h>

#define EDGES (1u << 18)

static uint8_t hits[EDGES];
static uint8_t known[EDGES];
static uint32_t before;

void __sanitizer_cov_trace_pc(void)
{
    /* Relative to this function, so that an address is the same in every process. */
    uint64_t at = (uint64_t)((uintptr_t)__builtin_return_address(0) - (uintptr_t)&__sanitizer_cov_trace_pc);
    uint32_t block = (uint32_t)(at * 0x9E3779B97F4A7C15ULL >> 40);
    uint32_t edge = (block ^ before) & (EDGES - 1);
    if (hits[edge] != 255)
        hits[edge]++;
    before = block >> 1;
}

/* Counts in classes, as one more pass through a loop is no news. */
static uint8_t class_of(uint8_t count)
{
    return count == 1 ? 1 : count == 2 ? 2 : count < 8 ? 4 : count < 32 ? 8 : count < 128 ? 16 : 32;
}

/* How many edges were hit as never before since the last call. */
uint32_t coverage_news(void)
{
    uint32_t news = 0;
    uint64_t word;
    for (uint32_t i = 0; i < EDGES; i += 8) {
        memcpy(&word, hits + i, 8);
        if (!word)
            continue;
        for (uint32_t j = i; j < i + 8; j++) {
            uint8_t mark = hits[j] ? class_of(hits[j]) : 0;
            news += (mark & ~known[j]) != 0;
            known[j] |= mark;
        }
        memset(hits + i, 0, 8);
    }
    before = 0;
    return news;
}

uint32_t coverage_edges(void)
{
    uint32_t edges = 0;
    for (uint32_t i = 0; i < EDGES; i++)
        edges += known[i] != 0;
    return edges;
}
