// The parts of Unicode that Python's str methods know and utf8proc does not offer: case mappings to several characters
// (SpecialCasing.txt), digits that are not decimal (Numeric_Type=Digit), numeric ideographs, and cased characters whose
// category is not Lu or Ll. Data of Unicode 14.
#include "text/jinja/unicode_tables.h"

#include <algorithm>
#include <iterator>

namespace qnext::jinja {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

constexpr SpecialCase kUpper[] = {
    {0x00DF, U"\U00000053\U00000053"},           {0x0149, U"\U000002BC\U0000004E"},
    {0x01F0, U"\U0000004A\U0000030C"},           {0x0390, U"\U00000399\U00000308\U00000301"},
    {0x03B0, U"\U000003A5\U00000308\U00000301"}, {0x0587, U"\U00000535\U00000552"},
    {0x1E96, U"\U00000048\U00000331"},           {0x1E97, U"\U00000054\U00000308"},
    {0x1E98, U"\U00000057\U0000030A"},           {0x1E99, U"\U00000059\U0000030A"},
    {0x1E9A, U"\U00000041\U000002BE"},           {0x1F50, U"\U000003A5\U00000313"},
    {0x1F52, U"\U000003A5\U00000313\U00000300"}, {0x1F54, U"\U000003A5\U00000313\U00000301"},
    {0x1F56, U"\U000003A5\U00000313\U00000342"}, {0x1F80, U"\U00001F08\U00000399"},
    {0x1F81, U"\U00001F09\U00000399"},           {0x1F82, U"\U00001F0A\U00000399"},
    {0x1F83, U"\U00001F0B\U00000399"},           {0x1F84, U"\U00001F0C\U00000399"},
    {0x1F85, U"\U00001F0D\U00000399"},           {0x1F86, U"\U00001F0E\U00000399"},
    {0x1F87, U"\U00001F0F\U00000399"},           {0x1F88, U"\U00001F08\U00000399"},
    {0x1F89, U"\U00001F09\U00000399"},           {0x1F8A, U"\U00001F0A\U00000399"},
    {0x1F8B, U"\U00001F0B\U00000399"},           {0x1F8C, U"\U00001F0C\U00000399"},
    {0x1F8D, U"\U00001F0D\U00000399"},           {0x1F8E, U"\U00001F0E\U00000399"},
    {0x1F8F, U"\U00001F0F\U00000399"},           {0x1F90, U"\U00001F28\U00000399"},
    {0x1F91, U"\U00001F29\U00000399"},           {0x1F92, U"\U00001F2A\U00000399"},
    {0x1F93, U"\U00001F2B\U00000399"},           {0x1F94, U"\U00001F2C\U00000399"},
    {0x1F95, U"\U00001F2D\U00000399"},           {0x1F96, U"\U00001F2E\U00000399"},
    {0x1F97, U"\U00001F2F\U00000399"},           {0x1F98, U"\U00001F28\U00000399"},
    {0x1F99, U"\U00001F29\U00000399"},           {0x1F9A, U"\U00001F2A\U00000399"},
    {0x1F9B, U"\U00001F2B\U00000399"},           {0x1F9C, U"\U00001F2C\U00000399"},
    {0x1F9D, U"\U00001F2D\U00000399"},           {0x1F9E, U"\U00001F2E\U00000399"},
    {0x1F9F, U"\U00001F2F\U00000399"},           {0x1FA0, U"\U00001F68\U00000399"},
    {0x1FA1, U"\U00001F69\U00000399"},           {0x1FA2, U"\U00001F6A\U00000399"},
    {0x1FA3, U"\U00001F6B\U00000399"},           {0x1FA4, U"\U00001F6C\U00000399"},
    {0x1FA5, U"\U00001F6D\U00000399"},           {0x1FA6, U"\U00001F6E\U00000399"},
    {0x1FA7, U"\U00001F6F\U00000399"},           {0x1FA8, U"\U00001F68\U00000399"},
    {0x1FA9, U"\U00001F69\U00000399"},           {0x1FAA, U"\U00001F6A\U00000399"},
    {0x1FAB, U"\U00001F6B\U00000399"},           {0x1FAC, U"\U00001F6C\U00000399"},
    {0x1FAD, U"\U00001F6D\U00000399"},           {0x1FAE, U"\U00001F6E\U00000399"},
    {0x1FAF, U"\U00001F6F\U00000399"},           {0x1FB2, U"\U00001FBA\U00000399"},
    {0x1FB3, U"\U00000391\U00000399"},           {0x1FB4, U"\U00000386\U00000399"},
    {0x1FB6, U"\U00000391\U00000342"},           {0x1FB7, U"\U00000391\U00000342\U00000399"},
    {0x1FBC, U"\U00000391\U00000399"},           {0x1FC2, U"\U00001FCA\U00000399"},
    {0x1FC3, U"\U00000397\U00000399"},           {0x1FC4, U"\U00000389\U00000399"},
    {0x1FC6, U"\U00000397\U00000342"},           {0x1FC7, U"\U00000397\U00000342\U00000399"},
    {0x1FCC, U"\U00000397\U00000399"},           {0x1FD2, U"\U00000399\U00000308\U00000300"},
    {0x1FD3, U"\U00000399\U00000308\U00000301"}, {0x1FD6, U"\U00000399\U00000342"},
    {0x1FD7, U"\U00000399\U00000308\U00000342"}, {0x1FE2, U"\U000003A5\U00000308\U00000300"},
    {0x1FE3, U"\U000003A5\U00000308\U00000301"}, {0x1FE4, U"\U000003A1\U00000313"},
    {0x1FE6, U"\U000003A5\U00000342"},           {0x1FE7, U"\U000003A5\U00000308\U00000342"},
    {0x1FF2, U"\U00001FFA\U00000399"},           {0x1FF3, U"\U000003A9\U00000399"},
    {0x1FF4, U"\U0000038F\U00000399"},           {0x1FF6, U"\U000003A9\U00000342"},
    {0x1FF7, U"\U000003A9\U00000342\U00000399"}, {0x1FFC, U"\U000003A9\U00000399"},
    {0xFB00, U"\U00000046\U00000046"},           {0xFB01, U"\U00000046\U00000049"},
    {0xFB02, U"\U00000046\U0000004C"},           {0xFB03, U"\U00000046\U00000046\U00000049"},
    {0xFB04, U"\U00000046\U00000046\U0000004C"}, {0xFB05, U"\U00000053\U00000054"},
    {0xFB06, U"\U00000053\U00000054"},           {0xFB13, U"\U00000544\U00000546"},
    {0xFB14, U"\U00000544\U00000535"},           {0xFB15, U"\U00000544\U0000053B"},
    {0xFB16, U"\U0000054E\U00000546"},           {0xFB17, U"\U00000544\U0000053D"},
};

constexpr SpecialCase kTitle[] = {
    {0x00DF, U"\U00000053\U00000073"},           {0x0149, U"\U000002BC\U0000004E"},
    {0x01F0, U"\U0000004A\U0000030C"},           {0x0390, U"\U00000399\U00000308\U00000301"},
    {0x03B0, U"\U000003A5\U00000308\U00000301"}, {0x0587, U"\U00000535\U00000582"},
    {0x1E96, U"\U00000048\U00000331"},           {0x1E97, U"\U00000054\U00000308"},
    {0x1E98, U"\U00000057\U0000030A"},           {0x1E99, U"\U00000059\U0000030A"},
    {0x1E9A, U"\U00000041\U000002BE"},           {0x1F50, U"\U000003A5\U00000313"},
    {0x1F52, U"\U000003A5\U00000313\U00000300"}, {0x1F54, U"\U000003A5\U00000313\U00000301"},
    {0x1F56, U"\U000003A5\U00000313\U00000342"}, {0x1FB2, U"\U00001FBA\U00000345"},
    {0x1FB4, U"\U00000386\U00000345"},           {0x1FB6, U"\U00000391\U00000342"},
    {0x1FB7, U"\U00000391\U00000342\U00000345"}, {0x1FC2, U"\U00001FCA\U00000345"},
    {0x1FC4, U"\U00000389\U00000345"},           {0x1FC6, U"\U00000397\U00000342"},
    {0x1FC7, U"\U00000397\U00000342\U00000345"}, {0x1FD2, U"\U00000399\U00000308\U00000300"},
    {0x1FD3, U"\U00000399\U00000308\U00000301"}, {0x1FD6, U"\U00000399\U00000342"},
    {0x1FD7, U"\U00000399\U00000308\U00000342"}, {0x1FE2, U"\U000003A5\U00000308\U00000300"},
    {0x1FE3, U"\U000003A5\U00000308\U00000301"}, {0x1FE4, U"\U000003A1\U00000313"},
    {0x1FE6, U"\U000003A5\U00000342"},           {0x1FE7, U"\U000003A5\U00000308\U00000342"},
    {0x1FF2, U"\U00001FFA\U00000345"},           {0x1FF4, U"\U0000038F\U00000345"},
    {0x1FF6, U"\U000003A9\U00000342"},           {0x1FF7, U"\U000003A9\U00000342\U00000345"},
    {0xFB00, U"\U00000046\U00000066"},           {0xFB01, U"\U00000046\U00000069"},
    {0xFB02, U"\U00000046\U0000006C"},           {0xFB03, U"\U00000046\U00000066\U00000069"},
    {0xFB04, U"\U00000046\U00000066\U0000006C"}, {0xFB05, U"\U00000053\U00000074"},
    {0xFB06, U"\U00000053\U00000074"},           {0xFB13, U"\U00000544\U00000576"},
    {0xFB14, U"\U00000544\U00000565"},           {0xFB15, U"\U00000544\U0000056B"},
    {0xFB16, U"\U0000054E\U00000576"},           {0xFB17, U"\U00000544\U0000056D"},
};

constexpr Range kDigits[] = {{0xB2, 0xB3},       {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},
                             {0x2070, 0x2070},   {0x2074, 0x2079},   {0x2080, 0x2089},   {0x2460, 0x2468},
                             {0x2474, 0x247C},   {0x2488, 0x2490},   {0x24EA, 0x24EA},   {0x24F5, 0x24FD},
                             {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},   {0x278A, 0x2792},
                             {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A}};

constexpr Range kNumericLetters[] = {
    {0x3405, 0x3405},   {0x3483, 0x3483},   {0x382A, 0x382A},   {0x3B4D, 0x3B4D},   {0x4E00, 0x4E00},
    {0x4E03, 0x4E03},   {0x4E07, 0x4E07},   {0x4E09, 0x4E09},   {0x4E5D, 0x4E5D},   {0x4E8C, 0x4E8C},
    {0x4E94, 0x4E94},   {0x4E96, 0x4E96},   {0x4EBF, 0x4EC0},   {0x4EDF, 0x4EDF},   {0x4EE8, 0x4EE8},
    {0x4F0D, 0x4F0D},   {0x4F70, 0x4F70},   {0x5104, 0x5104},   {0x5146, 0x5146},   {0x5169, 0x5169},
    {0x516B, 0x516B},   {0x516D, 0x516D},   {0x5341, 0x5341},   {0x5343, 0x5345},   {0x534C, 0x534C},
    {0x53C1, 0x53C4},   {0x56DB, 0x56DB},   {0x58F1, 0x58F1},   {0x58F9, 0x58F9},   {0x5E7A, 0x5E7A},
    {0x5EFE, 0x5EFF},   {0x5F0C, 0x5F0E},   {0x5F10, 0x5F10},   {0x62FE, 0x62FE},   {0x634C, 0x634C},
    {0x67D2, 0x67D2},   {0x6F06, 0x6F06},   {0x7396, 0x7396},   {0x767E, 0x767E},   {0x8086, 0x8086},
    {0x842C, 0x842C},   {0x8CAE, 0x8CAE},   {0x8CB3, 0x8CB3},   {0x8D30, 0x8D30},   {0x9621, 0x9621},
    {0x9646, 0x9646},   {0x964C, 0x964C},   {0x9678, 0x9678},   {0x96F6, 0x96F6},   {0xF96B, 0xF96B},
    {0xF973, 0xF973},   {0xF978, 0xF978},   {0xF9B2, 0xF9B2},   {0xF9D1, 0xF9D1},   {0xF9D3, 0xF9D3},
    {0xF9FD, 0xF9FD},   {0x20001, 0x20001}, {0x20064, 0x20064}, {0x200E2, 0x200E2}, {0x20121, 0x20121},
    {0x2092A, 0x2092A}, {0x20983, 0x20983}, {0x2098C, 0x2098C}, {0x2099C, 0x2099C}, {0x20AEA, 0x20AEA},
    {0x20AFD, 0x20AFD}, {0x20B19, 0x20B19}, {0x22390, 0x22390}, {0x22998, 0x22998}, {0x23B1B, 0x23B1B},
    {0x2626D, 0x2626D}, {0x2F890, 0x2F890}};

constexpr Range kOtherUppercase[] = {
    {0x2160, 0x216F}, {0x24B6, 0x24CF}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};

constexpr Range kOtherLowercase[] = {
    {0xAA, 0xAA},     {0xBA, 0xBA},     {0x2B0, 0x2B8},     {0x2C0, 0x2C1},     {0x2E0, 0x2E4},     {0x345, 0x345},
    {0x37A, 0x37A},   {0x1D2C, 0x1D6A}, {0x1D78, 0x1D78},   {0x1D9B, 0x1DBF},   {0x2071, 0x2071},   {0x207F, 0x207F},
    {0x2090, 0x209C}, {0x2170, 0x217F}, {0x24D0, 0x24E9},   {0x2C7C, 0x2C7D},   {0xA69C, 0xA69D},   {0xA770, 0xA770},
    {0xA7F8, 0xA7F9}, {0xAB5C, 0xAB5F}, {0x10780, 0x10780}, {0x10783, 0x10785}, {0x10787, 0x107B0}, {0x107B2, 0x107BA}};

template <size_t kSize>
const char32_t* FindCase(const SpecialCase (&table)[kSize], char32_t c) {
  const SpecialCase* found = std::lower_bound(std::begin(table), std::end(table), c,
                                              [](const SpecialCase& entry, char32_t x) { return entry.from < x; });
  return found != std::end(table) && found->from == c ? found->to : nullptr;
}

template <size_t kSize>
bool InRanges(const Range (&table)[kSize], char32_t c) {
  const Range* found = std::lower_bound(std::begin(table), std::end(table), c,
                                        [](const Range& range, char32_t x) { return range.last < x; });
  return found != std::end(table) && found->first <= c;
}

}  // namespace

const char32_t* SpecialUpper(char32_t c) { return FindCase(kUpper, c); }
const char32_t* SpecialTitle(char32_t c) { return FindCase(kTitle, c); }
bool IsNonDecimalDigit(char32_t c) { return InRanges(kDigits, c); }
bool IsNumericLetter(char32_t c) { return InRanges(kNumericLetters, c); }
bool IsOtherUppercase(char32_t c) { return InRanges(kOtherUppercase, c); }
bool IsOtherLowercase(char32_t c) { return InRanges(kOtherLowercase, c); }

}  // namespace qnext::jinja
