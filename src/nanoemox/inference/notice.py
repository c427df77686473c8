"""What everyone has to be told who reads an answer, or who is read: one text for all pages, files and servers."""

NOTICE = (
    "These answers come from an AI system that reads emotions in pictures, a voice and words. They are not what a "
    "person feels, and must not decide anything about anyone. In the European Union, whoever uses such a system has to "
    "inform the people on whom it is used (Regulation (EU) 2024/1689, Article 50(3), since 2 August 2026)."
)
