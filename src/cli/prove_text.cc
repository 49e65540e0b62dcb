// The text whose perplexity a proof takes. Public domain, all of it (NOTICE): Lincoln's address at Gettysburg (1863),
// the beginning of the Declaration of Independence (1776), and of Alice's Adventures in Wonderland (1865).
#include "cli/prove_questions.h"

namespace qnext {

std::string_view ProofText() {
  return "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in "
         "Liberty, and dedicated to the proposition that all men are created equal.\n\n"
         "Now we are engaged in a great civil war, testing whether that nation, or any nation so conceived and so "
         "dedicated, can long endure. We are met on a great battle-field of that war. We have come to dedicate a "
         "portion of that field, as a final resting place for those who here gave their lives that that nation might "
         "live. It is altogether fitting and proper that we should do this.\n\n"
         "But, in a larger sense, we can not dedicate -- we can not consecrate -- we can not hallow -- this ground. "
         "The brave men, living and dead, who struggled here, have consecrated it, far above our poor power to add or "
         "detract. The world will little note, nor long remember what we say here, but it can never forget what they "
         "did here. It is for us the living, rather, to be dedicated here to the unfinished work which they who "
         "fought here have thus far so nobly advanced. It is rather for us to be here dedicated to the great task "
         "remaining before us -- that from these honored dead we take increased devotion to that cause for which they "
         "gave the last full measure of devotion -- that we here highly resolve that these dead shall not have died "
         "in vain -- that this nation, under God, shall have a new birth of freedom -- and that government of the "
         "people, by the people, for the people, shall not perish from the earth.\n\n"
         "When in the Course of human events, it becomes necessary for one people to dissolve the political bands "
         "which have connected them with another, and to assume among the powers of the earth, the separate and equal "
         "station to which the Laws of Nature and of Nature's God entitle them, a decent respect to the opinions of "
         "mankind requires that they should declare the causes which impel them to the separation.\n\n"
         "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: "
         "once or twice she had peeped into the book her sister was reading, but it had no pictures or conversations "
         "in it, \"and what is the use of a book,\" thought Alice \"without pictures or conversations?\"\n\n"
         "So she was considering in her own mind (as well as she could, for the hot day made her feel very sleepy and "
         "stupid), whether the pleasure of making a daisy-chain would be worth the trouble of getting up and picking "
         "the daisies, when suddenly a White Rabbit with pink eyes ran close by her.\n";
}

}  // namespace qnext
