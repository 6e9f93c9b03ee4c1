-- Answers as if the charges were asked for, and changes nothing.
return answer()
