// Runs layers and programs from a file on one implementation and compares what they give with what the file
// says, to the bit. test_arm.py writes the file from the numpy reference.
//
//     check_cases                      prints the available implementations, best first
//     check_cases FILE IMPLEMENTATION  prints how many cases are equal; exits with 1 at the first that is
//     not.
//                                      An empty name stands for the best one.
#include <cstdio>

#include "case_file.hpp"
#include "implementations.hpp"

int main(int count, char** arguments) {
  try {
    if (count == 1) {
      for (const auto* implementation : mpsearch::available_implementations())
        std::puts(implementation->name);
      return 0;
    }
    const auto& implementation = mpsearch::find_implementation(count > 2 ? arguments[2] : "");
    Reader reader(arguments[1]);
    int cases = 0;
    for (; !reader.at_end(); ++cases) {
      const std::string name = reader.text();
      (reader.text() == "program" ? check_program : check_layer)(name, reader, implementation);
    }
    std::printf("%d cases equal on %s\n", cases, implementation.name);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
