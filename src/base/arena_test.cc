#include "base/arena.h"

#include <gtest/gtest.h>

namespace qnext {
namespace {

struct Buffers {
  float* floats = nullptr;
  int8_t* codes = nullptr;
  double* none = nullptr;
};

Buffers LayOut(Arena& arena) {
  Buffers buffers;
  arena.Begin("floats");
  buffers.floats = arena.Take<float>(100);
  arena.Begin("codes");
  buffers.codes = arena.Take<int8_t>(1);
  buffers.none = arena.Take<double>(0);
  return buffers;
}

TEST(Arena, CountsWhatTheSameCodeThenTakes) {
  Arena counting;
  const Buffers nothing = LayOut(counting);
  EXPECT_TRUE(counting.counting());
  EXPECT_EQ(nothing.floats, nullptr);
  EXPECT_EQ(counting.used(), 512 + 256);

  alignas(256) std::byte memory[512 + 256];
  Arena arena(memory, counting.used());
  const Buffers buffers = LayOut(arena);
  EXPECT_EQ(reinterpret_cast<std::byte*>(buffers.floats), memory);
  EXPECT_EQ(reinterpret_cast<std::byte*>(buffers.codes), memory + 512);
  EXPECT_EQ(buffers.none, nullptr);
  EXPECT_EQ(arena.used(), counting.used());
}

TEST(Arena, BooksPiecesUnderTheirRow) {
  Arena arena;
  LayOut(arena);
  ASSERT_EQ(arena.rows().size(), 2u);
  EXPECT_EQ(arena.rows()[0].name, "floats");
  EXPECT_EQ(arena.rows()[0].bytes, 512);
  EXPECT_EQ(arena.rows()[1].name, "codes");
  EXPECT_EQ(arena.rows()[1].bytes, 256);
  arena.Begin("floats");
  arena.Take<float>(1);
  ASSERT_EQ(arena.rows().size(), 2u);
  EXPECT_EQ(arena.rows()[0].bytes, 512 + 256);
}

TEST(Arena, GroupsThatShareTakeTheRoomOfTheLargest) {
  struct Shared {
    std::byte *before, *a, *b, *c, *after;
  };
  const auto lay_out = [](Arena& arena) {
    Shared out = {};
    arena.Begin("row");
    out.before = arena.TakeBytes(1);
    arena.BeginShared();
    out.a = arena.TakeBytes(256);
    arena.NextShared();
    out.b = arena.TakeBytes(512);
    out.c = arena.TakeBytes(1);
    arena.NextShared();
    arena.EndShared();
    out.after = arena.TakeBytes(1);
    return out;
  };
  Arena counting;
  lay_out(counting);
  EXPECT_EQ(counting.used(), 256 + 768 + 256);
  EXPECT_EQ(counting.rows()[0].bytes, counting.used());
  alignas(256) std::byte memory[256 + 768 + 256];
  Arena arena(memory, counting.used());
  const Shared out = lay_out(arena);
  EXPECT_EQ(out.before, memory);
  EXPECT_EQ(out.a, memory + 256);
  EXPECT_EQ(out.b, out.a);
  EXPECT_EQ(out.c, out.b + 512);
  EXPECT_EQ(out.after, memory + 256 + 768);
}

TEST(ArenaDeathTest, TakesNoMoreThanThereIs) {
  alignas(256) std::byte memory[256];
  Arena arena(memory, 256);
  arena.Begin("row");
  arena.TakeBytes(200);
  EXPECT_DEATH(arena.TakeBytes(1), "the same layout that was counted");
}

}  // namespace
}  // namespace qnext
