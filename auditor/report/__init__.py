"""From a judged result to what people and CI read: one HTML file, a Markdown summary, JUnit XML, a contact sheet."""
