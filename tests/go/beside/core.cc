// A C++ library, as Milvus's core is: it throws, has threads, and takes hashes from the Rust library beside it.
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

extern "C" {
uint64_t XXH64(const void *input, size_t length, uint64_t seed);
unsigned XXH_versionNumber(void);

// How many of as many threads threw, caught, hashed and saw the other library's panic.
int core_works(int threads) {
    std::vector<std::thread> all;
    std::vector<int> well(threads);
    for (int i = 0; i < threads; i++)
        all.emplace_back([&well, i] {
            try {
                throw std::runtime_error(std::string(1000, 'x'));
            } catch (const std::exception &e) {
                const std::string text = e.what();
                well[i] = XXH64(text.data(), text.size(), i) == XXH64(text.data(), text.size(), i) && XXH_versionNumber() == 803;
            }
        });
    int count = 0;
    for (int i = 0; i < threads; i++) all[i].join(), count += well[i];
    return count;
}
}
