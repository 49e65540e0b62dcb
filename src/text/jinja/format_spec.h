// Python's format specifications ("{:>8.2f}"), shared by str.format, the format filter's relatives and "%".
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace qnext::jinja {

struct FormatSpec {
  std::string fill = " ";  // one character
  char align = '\0';       // < > ^ =, or 0: the type's own
  char sign = '-';         // - + space
  bool alternate = false;  // #
  bool zero = false;       // 0 before the width
  Int width = 0;
  char grouping = '\0';  // , or _
  Int precision = -1;    // -1: not given
  char type = '\0';      // 0: not given
};

// Errors as Python raises them.
FormatSpec ParseFormatSpec(std::string_view text);

// The pieces of a formatted number, padded together by Pad.
struct NumberText {
  bool negative = false;
  std::string prefix;    // 0x and the like
  std::string digits;    // the whole part
  std::string fraction;  // from the point on, with exponent and percent sign
};

// The digits of |value| in base 2, 8, 10 or 16.
std::string DigitsIn(Int value, int base, bool upper);
// A float for type e, E, f, F, g, G or % with its precision (-1: 6), or repr for type 0.
NumberText FloatParts(double value, char type, Int precision, bool alternate);

// Sign, grouping, fill and width; numbers stand right by default.
std::string PadNumber(Runtime& rt, const NumberText& number, const FormatSpec& spec);
std::string PadText(Runtime& rt, std::string_view text, const FormatSpec& spec);

// format(value, spec).
std::string Format(Runtime& rt, const Value& value, std::string_view spec);

}  // namespace qnext::jinja
